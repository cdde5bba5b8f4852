import type { Migration } from './migration.ts'

const message = `
  pos integer primary key autoincrement,
  id text not null,
  service text not null,
  topic text not null,
  queue integer not null,
  tag text,
  key text,
  sharding_key text,
  headers text,
  body blob not null,
  body_hash text not null,
  published_at integer not null,
  eligible_at integer not null,
  source text,
  source_queue integer,
  source_pos integer`

export const migration: Migration = {
  version: 2,
  worksWithSince: 1,
  name: 'due-and-halves',
  sql: `
-- Messages that are not due yet, in the columns of the log; eligible_at is when they are (P22).
create table waybill_delayed (${message}
);
create unique index waybill_delayed_by_id on waybill_delayed (id);
create index waybill_delayed_due on waybill_delayed (topic, queue, eligible_at);
create index waybill_delayed_by_key on waybill_delayed (key) where key is not null;

-- Half messages: prepared, invisible to consumers, until they are decided, once (P23 to P25).
create table waybill_halves (${message},
  dedup_key text,
  state text not null,
  checks integer not null default 0,
  failures integer not null default 0,
  check_at integer,
  decided_at integer,
  decided_by text,
  because text
);
create unique index waybill_halves_by_id on waybill_halves (id);
create index waybill_halves_checks on waybill_halves (service, check_at) where state = 'prepared';
create index waybill_halves_open on waybill_halves (state, published_at) where state in ('prepared', 'in-doubt');
create index waybill_halves_by_key on waybill_halves (key) where key is not null;

-- What ended without ever entering the log: cancelled, rolled back, expired (P30).
create table waybill_ended (
  message_id text primary key,
  state text not null,
  service text not null,
  topic text not null,
  tag text,
  key text,
  sharding_key text,
  published_at integer not null,
  at integer not null,
  because text
) without rowid;
create index waybill_ended_by_key on waybill_ended (key) where key is not null;
`,
}
