import type { Migration } from './migration.ts'

/** The tables are private; views named waybill_v_* are public. Which row proves which hop: docs/reference/facts.md. */
export const migration: Migration = {
  version: 1,
  worksWithSince: 1,
  name: 'log',
  sql: `
create table waybill_topics (
  name text primary key,
  queues integer not null,
  created_at integer not null
) without rowid;

-- The log. AUTOINCREMENT, or positions are used again after a purge and their messages never read (P11).
create table waybill_messages (
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
  source_pos integer
);
create unique index waybill_messages_by_id on waybill_messages (id);
create index waybill_messages_by_queue on waybill_messages (topic, queue);
create index waybill_messages_by_time on waybill_messages (published_at);
create index waybill_messages_by_key on waybill_messages (key) where key is not null;

create table waybill_dedup_keys (
  service text not null,
  topic text not null,
  dedup_key text not null,
  message_id text not null,
  expires_at integer not null,
  primary key (service, topic, dedup_key)
) without rowid;
create index waybill_dedup_keys_by_expiry on waybill_dedup_keys (expires_at);

create table waybill_groups (
  name text primary key,
  database_id text not null,
  version integer not null,
  subscription text not null,
  start text not null,
  ordered integer not null,
  on_failure text not null,
  created_at integer not null
) without rowid;

create table waybill_cursors (
  reader text not null,
  topic text not null,
  queue integer not null,
  pos integer not null,
  start_pos integer not null,
  epoch text not null,
  suspect_through integer not null default 0,
  suspect_due_before integer not null default 0,
  primary key (reader, topic, queue)
) without rowid;

create table waybill_leases (
  reader text not null,
  topic text not null,
  queue integer not null,
  owner text,
  fence integer not null default 0,
  expires_at integer not null default 0,
  running_max integer not null default 1,
  primary key (reader, topic, queue)
) without rowid;

create table waybill_members (
  reader text not null,
  owner text not null,
  version integer not null,
  expires_at integer not null,
  primary key (reader, owner)
) without rowid;

-- What became of each (group, message); the receipt is state 'done'.
create table waybill_dispositions (
  grp text not null,
  message_id text not null,
  state text not null,
  attempts integer not null default 0,
  body_hash text not null,
  at integer not null,
  topic text not null,
  queue integer not null,
  pos integer not null,
  sharding_key text,
  due_at integer,
  crashes integer not null default 0,
  generation integer not null default 0,
  cause text,
  because text,
  primary key (grp, message_id)
) without rowid;
create index waybill_dispositions_due on waybill_dispositions (grp, topic, queue, due_at) where state in ('retrying', 'running');
create index waybill_dispositions_keys on waybill_dispositions (grp, topic, sharding_key, pos) where sharding_key is not null and state in ('retrying', 'running', 'held', 'dead');
create index waybill_dispositions_state on waybill_dispositions (grp, state, at) where state <> 'done';
create index waybill_dispositions_message on waybill_dispositions (message_id) where state <> 'done';

-- The message itself, for whatever left the log's path (P2).
create table waybill_copies (
  grp text not null,
  message_id text not null,
  service text not null,
  topic text not null,
  queue integer not null,
  pos integer not null,
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
  source_pos integer
);
create unique index waybill_copies_by_id on waybill_copies (message_id, grp);
create index waybill_copies_by_key on waybill_copies (key) where key is not null;

create table waybill_dead_letters (
  grp text not null,
  message_id text not null,
  topic text not null,
  tag text,
  key text,
  sharding_key text,
  cause text not null,
  because text not null,
  attempts integer not null,
  generation integer not null,
  published_at integer not null,
  died_at integer not null,
  primary key (grp, message_id)
) without rowid;
create index waybill_dead_letters_by_time on waybill_dead_letters (died_at);
create index waybill_dead_letters_by_key on waybill_dead_letters (key) where key is not null;

create table waybill_relay_batches (
  topic text not null,
  queue integer not null,
  from_pos integer not null,
  to_pos integer not null,
  count integer not null,
  transport text not null,
  proof text not null,
  at integer not null,
  primary key (topic, queue, from_pos)
) without rowid;

create table waybill_landed (
  source text not null,
  topic text not null,
  queue integer not null,
  pos integer not null,
  primary key (source, topic, queue)
) without rowid;

create table waybill_suppressed (
  message_id text not null,
  cause text not null,
  source text,
  source_queue integer,
  source_pos integer,
  at integer not null
);
create index waybill_suppressed_by_message on waybill_suppressed (message_id);

create table waybill_audit (
  at integer not null,
  actor text not null,
  because text not null,
  action text not null,
  grp text,
  message_id text
);

create view waybill_v_dead_letters as
  select grp as "group", message_id, topic, tag, key, sharding_key, cause, because, attempts, generation, published_at, died_at
  from waybill_dead_letters;
create view waybill_v_dispositions as
  select grp as "group", message_id, state, attempts, due_at, cause, because, at from waybill_dispositions;
create view waybill_v_lag as
  select c.reader, c.topic, c.queue, c.pos as position, l.owner,
    (select count(*) from waybill_messages m where m.topic = c.topic and m.queue = c.queue and m.pos > c.pos) as waiting
  from waybill_cursors c left join waybill_leases l on l.reader = c.reader and l.topic = c.topic and l.queue = c.queue;
`,
}
