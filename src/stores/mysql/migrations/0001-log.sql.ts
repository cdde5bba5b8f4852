import { locksCount } from '../locks.ts'
import type { Migration } from './migration.ts'

const table = 'engine = InnoDB row_format = dynamic default charset utf8mb4 collate WAYBILL_COLLATION'

/** The columns of a message, alike in the log, among the delayed, the halves and the copies. */
const message = `
  id varchar(255) not null,
  service varchar(100) not null,
  topic varchar(100) not null,
  queue integer not null,
  tag varchar(255),
  msg_key varchar(255),
  sharding_key varchar(255),
  headers longtext,
  body longtext,
  body_binary longblob,
  body_hash varchar(100) not null,
  published_at bigint not null,
  eligible_at bigint not null,
  source varchar(255),
  source_queue integer,
  source_pos bigint`

/** The tables are private; views named waybill_v_* are public. Which row proves which hop: docs/reference/facts.md. */
export const migration: Migration = {
  version: 1,
  worksWithSince: 1,
  name: 'log',
  sql: `
create table if not exists waybill_topics (
  name varchar(100) primary key,
  queues integer not null,
  created_at bigint not null
) ${table};

-- The log. seq is the place in the sequence of the queue, 0 until the row is given one. Not NULL until then: the row would have to grow.
create table if not exists waybill_messages (
  pos bigint not null auto_increment primary key,
  seq bigint not null default 0,${message},
  unique key by_id (id),
  key by_sequence (topic, queue, seq),
  key by_key (msg_key, pos),
  key by_time (published_at)
) ${table};

-- How far each queue is in sequence; its row is the lock under which it grows.
create table if not exists waybill_ends (
  topic varchar(100) not null,
  queue integer not null,
  seq bigint not null default 0,
  primary key (topic, queue)
) ${table};

-- Rows to lock, and nothing else.
create table if not exists waybill_locks (n integer primary key) ${table};
insert ignore into waybill_locks values ${Array.from({ length: locksCount }, (_, n) => `(${n})`).join(', ')};

create table if not exists waybill_dedup_keys (
  service varchar(100) not null,
  topic varchar(100) not null,
  dedup_key varchar(255) not null,
  message_id varchar(255) not null,
  expires_at bigint not null,
  primary key (service, topic, dedup_key),
  key by_expiry (expires_at)
) ${table};

create table if not exists waybill_groups (
  name varchar(255) primary key,
  database_id varchar(100) not null,
  version integer not null,
  subscription longtext not null,
  start varchar(100) not null,
  ordered boolean not null,
  on_failure varchar(20) not null,
  created_at bigint not null
) ${table};

create table if not exists waybill_cursors (
  reader varchar(255) not null,
  topic varchar(100) not null,
  queue integer not null,
  pos bigint not null,
  start_pos bigint not null,
  -- Which history of the log pos belongs to, where that began, and which was before (P12).
  epoch varchar(100) not null,
  epoch_began bigint not null default 0,
  previous_epoch varchar(100),
  suspect_through bigint not null default 0,
  suspect_due_before bigint not null default 0,
  primary key (reader, topic, queue),
  key by_queue (topic, queue)
) ${table};

create table if not exists waybill_leases (
  reader varchar(255) not null,
  topic varchar(100) not null,
  queue integer not null,
  owner varchar(255),
  fence bigint not null default 0,
  expires_at bigint not null default 0,
  running_max integer not null default 1,
  -- Names a reader's queue for as long as the database lives: a lease is never dropped. At random, since a dump may have receipts of a
  -- lane without its lease: a number that is given once more would make them another reader's. 52 bits; rand() has 30.
  lane bigint not null default (conv(left(sha2(uuid(), 256), 13), 16, 10)),
  primary key (reader, topic, queue),
  unique key by_lane (lane),
  key by_queue (topic, queue)
) ${table};

create table if not exists waybill_members (
  reader varchar(255) not null,
  owner varchar(255) not null,
  version integer not null,
  expires_at bigint not null,
  primary key (reader, owner)
) ${table};

-- What became of each (group, message); the receipt is state 'done'.
create table if not exists waybill_dispositions (
  grp varchar(255) not null,
  message_id varchar(255) not null,
  state varchar(20) not null,
  attempts integer not null default 0,
  body_hash varchar(100) not null,
  at bigint not null,
  topic varchar(100) not null,
  queue integer not null,
  pos bigint not null,
  sharding_key varchar(255),
  due_at bigint,
  crashes integer not null default 0,
  generation integer not null default 0,
  cause varchar(100),
  because longtext,
  dependency varchar(100),
  primary key (grp, message_id),
  key by_due (grp, topic, queue, due_at),
  key by_sharding_key (grp, topic, sharding_key, pos),
  key by_state (grp, state, at)
) ${table};

-- Which places of the log a group has taken: receipts, or what has a disposition of its own. The token says which claim inserted it.
create table if not exists waybill_taken (
  lane bigint not null,
  seq bigint not null,
  token bigint not null,
  at bigint not null,
  primary key (lane, seq)
) ${table};

-- The message itself, for whatever left the log's path (P2).
create table if not exists waybill_copies (
  grp varchar(255) not null,
  pos bigint not null,${message},
  primary key (id, grp),
  key by_key (msg_key, published_at),
  key by_time (grp, published_at)
) ${table};

create table if not exists waybill_dead_letters (
  grp varchar(255) not null,
  message_id varchar(255) not null,
  topic varchar(100) not null,
  tag varchar(255),
  msg_key varchar(255),
  sharding_key varchar(255),
  cause varchar(100) not null,
  because longtext not null,
  attempts integer not null,
  generation integer not null,
  published_at bigint not null,
  died_at bigint not null,
  dependency varchar(100),
  primary key (grp, message_id),
  key by_time (died_at),
  key by_key (msg_key),
  key by_dependency (dependency, died_at)
) ${table};

create table if not exists waybill_relay_batches (
  topic varchar(100) not null,
  queue integer not null,
  from_pos bigint not null,
  to_pos bigint not null,
  messages integer not null,
  transport varchar(100) not null,
  proof longtext not null,
  at bigint not null,
  primary key (topic, queue, from_pos)
) ${table};

create table if not exists waybill_landed (
  source varchar(255) not null,
  topic varchar(100) not null,
  queue integer not null,
  pos bigint not null,
  epoch varchar(100) not null default '',
  primary key (source, topic, queue)
) ${table};

create table if not exists waybill_suppressed (
  n bigint not null auto_increment primary key,
  message_id varchar(255) not null,
  cause varchar(100) not null,
  source varchar(255),
  source_queue integer,
  source_pos bigint,
  at bigint not null,
  key by_message (message_id)
) ${table};

create table if not exists waybill_audit (
  n bigint not null auto_increment primary key,
  at bigint not null,
  actor longtext not null,
  because longtext not null,
  action varchar(100) not null,
  grp varchar(255),
  message_id varchar(255),
  redrive_id varchar(255)
) ${table};

-- Messages that are not due yet; eligible_at is when they are (P22).
create table if not exists waybill_delayed (
  pos bigint not null auto_increment primary key,${message},
  unique key by_id (id),
  key by_due (topic, queue, eligible_at, pos),
  key by_key (msg_key, pos)
) ${table};

-- Half messages: prepared, invisible to consumers, until they are decided, once (P23 to P25).
create table if not exists waybill_halves (
  pos bigint not null auto_increment primary key,${message},
  dedup_key varchar(255),
  state varchar(20) not null,
  checks integer not null default 0,
  failures integer not null default 0,
  check_at bigint,
  decided_at bigint,
  decided_by varchar(100),
  because longtext,
  unique key by_id (id),
  key by_check (service, state, check_at),
  key by_state (state, published_at),
  key by_key (msg_key, pos)
) ${table};

-- What ended without ever entering the log: cancelled, rolled back, expired (P30).
create table if not exists waybill_ended (
  message_id varchar(255) primary key,
  state varchar(20) not null,
  service varchar(100) not null,
  topic varchar(100) not null,
  tag varchar(255),
  msg_key varchar(255),
  sharding_key varchar(255),
  published_at bigint not null,
  at bigint not null,
  because longtext,
  key by_key (msg_key, published_at),
  key by_state (state, published_at)
) ${table};

-- Groups that an operator holds; no row where one runs.
create table if not exists waybill_pauses (
  grp varchar(255) primary key,
  at bigint not null,
  actor longtext not null,
  because longtext not null
) ${table};

-- Redrive jobs and their frozen selections.
create table if not exists waybill_redrives (
  id varchar(255) primary key,
  state varchar(20) not null,
  per_second double,
  ordering varchar(20) not null,
  actor longtext not null,
  because longtext not null,
  created_at bigint not null,
  next_at bigint not null,
  ended_at bigint,
  total integer not null,
  redriven integer not null default 0,
  gone integer not null default 0,
  key by_time (created_at),
  key by_next (state, next_at)
) ${table};
create table if not exists waybill_redrive_items (
  job_id varchar(255) not null,
  seq integer not null,
  grp varchar(255) not null,
  message_id varchar(255) not null,
  generation integer not null,
  outcome varchar(20),
  at bigint,
  primary key (job_id, seq),
  key by_outcome (job_id, outcome, seq)
) ${table};

-- What each instance last said of a dependency.
create table if not exists waybill_dependencies (
  name varchar(100) not null,
  owner varchar(255) not null,
  service varchar(100) not null,
  state varchar(20) not null,
  since bigint not null,
  because longtext,
  of_groups longtext not null,
  until_ms bigint not null,
  primary key (name, owner)
) ${table};

create or replace view waybill_v_dead_letters as
  select grp as \`group\`, message_id, topic, tag, msg_key as \`key\`, sharding_key, cause, because, attempts, generation, published_at, died_at
  from waybill_dead_letters;
create or replace view waybill_v_dispositions as
  select grp as \`group\`, message_id, state, attempts, due_at, cause, because, at from waybill_dispositions
  union all select l.reader, m.id, 'done', 0, null, null, null, t.at from waybill_taken t
    join waybill_leases l on l.lane = t.lane join waybill_messages m on m.topic = l.topic and m.queue = l.queue and m.seq = t.seq
  where not exists (select 1 from waybill_dispositions d where d.grp = l.reader and d.message_id = m.id);
-- What is committed and not in sequence yet is waiting too, but not counted.
create or replace view waybill_v_lag as
  select c.reader, c.topic, c.queue, c.pos as position, l.owner, greatest(0, coalesce(e.seq, 0) - c.pos) as waiting
  from waybill_cursors c left join waybill_leases l on l.reader = c.reader and l.topic = c.topic and l.queue = c.queue
  left join waybill_ends e on e.topic = c.topic and e.queue = c.queue;
`,
}
