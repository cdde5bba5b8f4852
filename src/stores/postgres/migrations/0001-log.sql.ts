import { isStray } from '../id-times.ts'
import { sequenceFunction } from '../sequence-function.sql.ts'
import type { Migration } from './migration.ts'

/**
 * The columns of a message, alike in the log, among the delayed, the halves and the copies. Those of eight and four bytes come first, where no
 * byte is lost to their alignment.
 */
const message = `
  published_at bigint not null,
  eligible_at bigint not null,
  queue integer not null,
  id text collate "C" not null,
  service text collate "C" not null,
  topic text collate "C" not null,
  tag text collate "C",
  key text collate "C",
  sharding_key text collate "C",
  headers text,
  body text,
  body_binary bytea,
  source text collate "C",
  source_queue integer,
  source_pos bigint`

/** The tables are private; views named waybill_v_* are public. Which row proves which hop: docs/reference/facts.md. */
export const migration: Migration = {
  version: 1,
  worksWithSince: 1,
  name: 'log',
  sql: `
create function waybill_now() returns bigint language sql volatile as $$ select floor(extract(epoch from clock_timestamp()) * 1000)::bigint $$;

-- Which timeline the server writes; none while it only follows another one, or where it does not tell.
create function waybill_timeline() returns text language plpgsql stable as $$
begin
  return substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
exception when others then
  return '';
end $$;

-- Where xids mean something, which a dump into another cluster or database changes; and which history of that, which a promotion or a
-- recovery to a point in time changes (P12).
create function waybill_cluster() returns text language sql stable as $$
  select (select system_identifier from pg_control_system()) || '.' || (select oid from pg_database where datname = current_database())
    || '/' || waybill_timeline()
$$;

-- In which run of the server: nothing of the above changes without it, and between two of them older files may be put back. It is asked
-- each time that somebody looks into the log, so it must cost nothing. Not in SQL: that would be planned anew at each call, for 0.2 ms.
create function waybill_server() returns text language plpgsql stable as $$
begin
  return extract(epoch from pg_postmaster_start_time()) || '/' || (select oid from pg_database where datname = current_database());
end $$;

-- As Waybill's own: what tells two bodies of one id apart (P4).
create function waybill_digest(body text, body_binary bytea) returns text language sql immutable as $$
  select left(encode(sha256(coalesce(body_binary, convert_to(body, 'UTF8'))), 'hex'), 32)
$$;

create table waybill_topics (
  name text collate "C" primary key,
  queues integer not null,
  created_at bigint not null
);

-- CACHE 1, or positions below the floor of a window are lost (P9).
create sequence waybill_positions cache 1;

-- The log. The xid comes before the position, so that for each row it is assigned before the position is drawn.
create table waybill_messages (
  xid xid8 not null default pg_current_xact_id(),
  pos bigint not null default nextval('waybill_positions') primary key,${message}
);
create unique index on waybill_messages (id);
create index on waybill_messages (xid);
create index on waybill_messages (key, pos) where key is not null;
-- All others are found by the time in their id.
create index on waybill_messages (published_at) where ${isStray()};

-- The run of the server in which what is remembered is true. Empty after a crash, also where the server's start time tells nothing of
-- it, and where another server was promoted.
create unlogged table waybill_awake (
  server text not null default waybill_server()
);
insert into waybill_awake default values;

-- Whether that is the one that runs. Not in SQL, as above; and on a standby the table cannot even be named.
create function waybill_is_awake() returns boolean language plpgsql stable as $$
begin
  if pg_is_in_recovery() then return false; end if;
  return exists (select 1 from waybill_awake where server = waybill_server());
end $$;

-- How far the log was put into sequence: everything visible in from_snapshot is; the rest is of an unfinished window.
create table waybill_sequencer (
  one boolean primary key default true check (one),
  cluster text not null default waybill_cluster(),
  from_snapshot pg_snapshot not null,
  floor bigint not null,
  next xid8 not null,
  to_snapshot pg_snapshot,
  to_floor bigint,
  to_next xid8,
  after bigint not null default 0,
  -- Grows with every portion: while it stands, no queue has got a new place.
  generation bigint not null default 0
);
insert into waybill_sequencer (from_snapshot, floor, next) values ('1:1:', 0, '1');

-- The sequence of each queue, in runs of positions: the log's rows are never updated.
-- The runs are numbered in the order in which they were committed, since they are written under a lock: books end at one of them.
create table waybill_runs (
  n bigint generated always as identity,
  topic text collate "C" not null,
  queue integer not null,
  seq_from bigint not null,
  seq_to bigint not null,
  first_pos bigint not null,
  positions bigint[] not null,
  primary key (topic, queue, seq_to)
);
create index on waybill_runs (n);
-- Which run has a position: ranges of different windows overlap where a transaction was open for long, and a b-tree would read all of them.
create index on waybill_runs using gist (int8range(first_pos, positions[cardinality(positions)], '[]'));
create table waybill_ends (
  topic text collate "C" not null,
  queue integer not null,
  seq bigint not null,
  -- The portion that gave the queue its last places.
  generation bigint not null,
  primary key (topic, queue)
) with (fillfactor = 50);

create table waybill_dedup_keys (
  service text collate "C" not null,
  topic text collate "C" not null,
  dedup_key text collate "C" not null,
  message_id text collate "C" not null,
  expires_at bigint not null,
  primary key (service, topic, dedup_key)
);
create index on waybill_dedup_keys (expires_at);

create table waybill_groups (
  name text collate "C" primary key,
  database_id text not null,
  version integer not null,
  subscription text not null,
  start text not null,
  ordered boolean not null,
  on_failure text not null,
  created_at bigint not null
);

create table waybill_cursors (
  reader text collate "C" not null,
  topic text collate "C" not null,
  queue integer not null,
  pos bigint not null,
  start_pos bigint not null,
  -- Which history of the log pos belongs to, where that began, and which was before (P12).
  epoch text not null,
  epoch_began bigint not null default 0,
  previous_epoch text,
  suspect_through bigint not null default 0,
  suspect_due_before bigint not null default 0,
  primary key (reader, topic, queue)
) with (fillfactor = 50);

create table waybill_leases (
  reader text collate "C" not null,
  topic text collate "C" not null,
  queue integer not null,
  owner text collate "C",
  fence bigint not null default 0,
  expires_at bigint not null default 0,
  running_max integer not null default 1,
  -- Names a reader's queue for as long as the database lives: a lease is never dropped.
  lane integer generated always as identity unique,
  primary key (reader, topic, queue)
) with (fillfactor = 50);

create table waybill_members (
  reader text collate "C" not null,
  owner text collate "C" not null,
  version integer not null,
  expires_at bigint not null,
  primary key (reader, owner)
) with (fillfactor = 50);

-- What became of each (group, message); the receipt is state 'done'.
create table waybill_dispositions (
  grp text collate "C" not null,
  message_id text collate "C" not null,
  state text collate "C" not null,
  attempts integer not null default 0,
  body_hash text collate "C" not null,
  at bigint not null,
  topic text collate "C" not null,
  queue integer not null,
  pos bigint not null,
  sharding_key text collate "C",
  due_at bigint,
  crashes integer not null default 0,
  generation integer not null default 0,
  cause text,
  because text,
  dependency text collate "C",
  primary key (grp, message_id)
);
create index on waybill_dispositions (grp, topic, queue, due_at) where state in ('retrying', 'running');
create index on waybill_dispositions (grp, topic, sharding_key, pos) where sharding_key is not null and state in ('retrying', 'running', 'held', 'dead');
create index on waybill_dispositions (grp, state, at) where state <> 'done';
create index on waybill_dispositions (message_id) where state <> 'done';
create index on waybill_dispositions (grp, topic, queue, pos) where state in ('running', 'retrying', 'held', 'dead');

-- Which places of the log a group has taken, in runs: receipts, or what has a disposition of its own. The constraint waits for whoever takes
-- the same at the same time; it tells lanes apart by the upper bits.
create table waybill_taken (
  lane integer not null,
  seq_from bigint not null,
  seq_to bigint not null,
  at bigint not null,
  primary key (lane, seq_to),
  exclude using gist (int8range((lane::bigint << 40) + seq_from, (lane::bigint << 40) + seq_to, '[]') with &&)
);

-- Whether the group has done with any of these messages already. Planned while there was next to nothing, it would read all.
create function waybill_is_known(the_group text, ids text[]) returns boolean language plpgsql stable
  set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  return exists (select 1 from waybill_dispositions where grp = the_group and message_id = any (ids));
end $$;

-- The message itself, for whatever left the log's path (P2).
create table waybill_copies (
  grp text collate "C" not null,
  pos bigint not null,${message},
  primary key (id, grp)
);
create index on waybill_copies (key, published_at) where key is not null;
create index on waybill_copies (grp, published_at);

create table waybill_dead_letters (
  grp text collate "C" not null,
  message_id text collate "C" not null,
  topic text collate "C" not null,
  tag text collate "C",
  key text collate "C",
  sharding_key text collate "C",
  cause text collate "C" not null,
  because text not null,
  attempts integer not null,
  generation integer not null,
  published_at bigint not null,
  died_at bigint not null,
  dependency text collate "C",
  primary key (grp, message_id)
);
create index on waybill_dead_letters (died_at);
create index on waybill_dead_letters (key) where key is not null;
create index on waybill_dead_letters (dependency, died_at) where dependency is not null;

create table waybill_relay_batches (
  topic text collate "C" not null,
  queue integer not null,
  from_pos bigint not null,
  to_pos bigint not null,
  count integer not null,
  transport text not null,
  proof text not null,
  at bigint not null,
  primary key (topic, queue, from_pos)
);

create table waybill_landed (
  source text collate "C" not null,
  topic text collate "C" not null,
  queue integer not null,
  pos bigint not null,
  epoch text not null default '',
  primary key (source, topic, queue)
);

create table waybill_suppressed (
  message_id text collate "C" not null,
  cause text not null,
  source text collate "C",
  source_queue integer,
  source_pos bigint,
  at bigint not null
);
create index on waybill_suppressed (message_id);

create table waybill_audit (
  at bigint not null,
  actor text not null,
  because text not null,
  action text not null,
  grp text collate "C",
  message_id text collate "C",
  redrive_id text collate "C"
);

-- Messages that are not due yet; eligible_at is when they are (P22).
create table waybill_delayed (
  pos bigint generated always as identity primary key,${message}
);
create unique index on waybill_delayed (id);
create index on waybill_delayed (topic, queue, eligible_at, pos);
create index on waybill_delayed (key, pos) where key is not null;

-- Half messages: prepared, invisible to consumers, until they are decided, once (P23 to P25).
create table waybill_halves (
  pos bigint generated always as identity primary key,${message},
  dedup_key text collate "C",
  state text collate "C" not null,
  checks integer not null default 0,
  failures integer not null default 0,
  check_at bigint,
  decided_at bigint,
  decided_by text,
  because text
);
create unique index on waybill_halves (id);
create index on waybill_halves (service, check_at) where state = 'prepared';
create index on waybill_halves (state, published_at) where state in ('prepared', 'in-doubt');
create index on waybill_halves (key, pos) where key is not null;

-- What ended without ever entering the log: cancelled, rolled back, expired (P30).
create table waybill_ended (
  message_id text collate "C" primary key,
  state text collate "C" not null,
  service text collate "C" not null,
  topic text collate "C" not null,
  tag text collate "C",
  key text collate "C",
  sharding_key text collate "C",
  published_at bigint not null,
  at bigint not null,
  because text
);
create index on waybill_ended (key, published_at) where key is not null;
create index on waybill_ended (state, published_at);

-- Groups that an operator holds; no row where one runs.
create table waybill_pauses (
  grp text collate "C" primary key,
  at bigint not null,
  actor text not null,
  because text not null
);

-- Redrive jobs and their frozen selections.
create table waybill_redrives (
  id text collate "C" primary key,
  state text collate "C" not null,
  per_second double precision,
  sequence text not null,
  actor text not null,
  because text not null,
  created_at bigint not null,
  next_at bigint not null,
  ended_at bigint,
  total integer not null,
  redriven integer not null default 0,
  gone integer not null default 0
);
create index on waybill_redrives (created_at);
create index on waybill_redrives (next_at) where state = 'running';
create table waybill_redrive_items (
  job_id text collate "C" not null,
  seq integer not null,
  grp text collate "C" not null,
  message_id text collate "C" not null,
  generation integer not null,
  outcome text,
  at bigint,
  primary key (job_id, seq)
);
create index on waybill_redrive_items (job_id, seq) where outcome is null;

-- What each instance last said of a dependency.
create table waybill_dependencies (
  name text collate "C" not null,
  owner text collate "C" not null,
  service text collate "C" not null,
  state text collate "C" not null,
  since bigint not null,
  because text,
  groups text not null,
  until bigint not null,
  primary key (name, owner)
);

create view waybill_v_dead_letters as
  select grp as "group", message_id, topic, tag, key, sharding_key, cause, because, attempts, generation, published_at, died_at
  from waybill_dead_letters;
create view waybill_v_dispositions as
  select grp as "group", message_id, state, attempts, due_at, cause, because, at from waybill_dispositions
  union all select l.reader, m.id, 'done', 0, null, null, null, t.at from waybill_taken t join waybill_leases l on l.lane = t.lane
    join waybill_runs r on r.topic = l.topic and r.queue = l.queue and r.seq_to >= t.seq_from and r.seq_from <= t.seq_to
    cross join lateral unnest(r.positions) with ordinality p(pos, ord) join waybill_messages m on m.pos = p.pos
  where r.seq_from + p.ord - 1 between t.seq_from and t.seq_to
    and not exists (select 1 from waybill_dispositions d where d.grp = l.reader and d.message_id = m.id);
-- What is committed and not in sequence yet is waiting too, but not counted.
create view waybill_v_lag as
  select c.reader, c.topic, c.queue, c.pos as position, l.owner, greatest(0, coalesce(e.seq, 0) - c.pos) as waiting
  from waybill_cursors c left join waybill_leases l on l.reader = c.reader and l.topic = c.topic and l.queue = c.queue
  left join waybill_ends e on e.topic = c.topic and e.queue = c.queue;

${sequenceFunction}
`,
}
