import type { Migration } from './migration.ts'

export const migration: Migration = {
  version: 3,
  worksWithSince: 1,
  name: 'recover',
  sql: `
-- Groups that an operator holds; no row where one runs.
create table waybill_pauses (
  grp text primary key,
  at integer not null,
  actor text not null,
  because text not null
) without rowid;

-- Redrive jobs and their frozen selections.
create table waybill_redrives (
  id text primary key,
  state text not null,
  per_second real,
  sequence text not null,
  actor text not null,
  because text not null,
  created_at integer not null,
  next_at integer not null,
  ended_at integer,
  total integer not null,
  redriven integer not null default 0,
  gone integer not null default 0
) without rowid;
create index waybill_redrives_by_time on waybill_redrives (created_at);
create index waybill_redrives_running on waybill_redrives (next_at) where state = 'running';

create table waybill_redrive_items (
  job_id text not null,
  seq integer not null,
  grp text not null,
  message_id text not null,
  generation integer not null,
  outcome text,
  at integer,
  primary key (job_id, seq)
) without rowid;
create index waybill_redrive_items_open on waybill_redrive_items (job_id, seq) where outcome is null;

-- Which redrive an act of an operator was about.
alter table waybill_audit add column redrive_id text;

-- What each instance last said of a dependency.
create table waybill_dependencies (
  name text not null,
  owner text not null,
  service text not null,
  state text not null,
  since integer not null,
  because text,
  groups text not null,
  until integer not null,
  primary key (name, owner)
) without rowid;

-- What a failure was charged to, where it was not the message.
alter table waybill_dispositions add column dependency text;
alter table waybill_dead_letters add column dependency text;
create index waybill_dead_letters_by_dependency on waybill_dead_letters (dependency, died_at) where dependency is not null;
`,
}
