import { outlookText } from '../sql/outlook.ts'
import { runMax } from './places.ts'
import { toldBytesMax, toldMax } from './told.ts'

/** Conditions for a row of the log, in the window of `s`: committed late by a transaction that had no xid when the last one was drawn, */
const isLate = `xid >= pg_snapshot_xmax(s.from_snapshot) and xid < s.next and pg_visible_in_snapshot(xid, s.to_snapshot) and (pos > s.after) is true`
/** or by one that was open then, */
const wasOpen = `xid = any (array(select pg_snapshot_xip(s.from_snapshot))) and pg_visible_in_snapshot(xid, s.to_snapshot) and (pos > s.after) is true`
/** or begun since. */
const isFresh = `pos > greatest(s.floor, s.after) and (xid >= greatest(s.next, pg_snapshot_xmax(s.from_snapshot))) is true
          and pg_visible_in_snapshot(xid, s.to_snapshot)`

/** A message for `Told`; without headers and body where they are long, or it comes from elsewhere. */
function toldOf(m: string, place: string): string {
  const ifShort = (column: string): string =>
    `case when ${m}.source is null and octet_length(${m}.body) + coalesce(octet_length(${m}.headers), 0) <= ${toldBytesMax} then ${m}.${column} end`
  const columns = `${m}.id, ${m}.service, ${m}.tag, ${m}.key, ${m}.sharding_key`
  return `json_build_array(${m}.topic, ${m}.queue, ${place}, ${columns}, ${ifShort('headers')}, ${ifShort('body')}, ${m}.published_at, ${m}.eligible_at)`
}

/**
 * Puts committed rows of the log that no window held yet into the sequence of their queues, up to `max_rows`, and answers how many.
 * Snapshot windows (shared/reference/postgres-log.md): a window is what is visible in a new snapshot and was not in the last one, in
 * the order of positions. Nothing committed is skipped though commits come out of the order of ids; a transaction that stays open
 * delays its own rows and no others; and it writes nothing while there is nothing new.
 *
 * - The floor is read before the lock, which draws the xid that becomes `to_next`: every row with a later xid lies above the floor.
 *   Only `pg_sequence_last_value` tells it: `select last_value from waybill_positions` reads the row of the sequence unlocked, which
 *   `nextval` sets up to 32 too high for as long as it writes its WAL record. Above a floor that was read then, messages were skipped
 *   (one in some 300,000).
 * - The snapshot is taken by a statement after the lock: the predecessor's window would otherwise be seen with an older snapshot.
 * - The late sets go through the index on xid and are materialised: by the order of positions they would walk all of history.
 * - Without sequential scans the one row of the sequencer looks so dear to the planner that it would be compiled, for 70 ms each time.
 */
export const sequenceFunction = `
-- The last position that was drawn.
create function waybill_floor() returns bigint language sql volatile as $$ select coalesce(pg_sequence_last_value('waybill_positions'), 0) $$;

-- What was remembered of this database need not be true any more (P12): its server was started anew, and maybe on older files; or it
-- recovered from a crash of its own, which may take back a window whose commit was not on disk; another
-- server was promoted, and may lack what the former had; or it is a dump that was restored here. Whoever holds a lease goes by what it
-- remembers, so it is fenced. Another timeline, cluster or database begins a new epoch. Answers whether one began.
create function waybill_rebase() returns boolean language plpgsql volatile as $$
declare
  s waybill_sequencer;
  here text := waybill_cluster();
  the_floor bigint;
begin
  if pg_is_in_recovery() then return false; end if;
  perform set_config('synchronous_commit', 'on', true);
  -- Before anything draws this transaction's xid: rows of later ones must lie above the floor.
  select waybill_floor() into the_floor;
  select * into s from waybill_sequencer for update;
  if waybill_is_awake() then return false; end if;
  -- Above every fence of a future that is gone.
  update waybill_leases set fence = greatest(fence + 1, waybill_now());
  if s.cluster <> here then
    update waybill_cursors set previous_epoch = epoch, epoch_began = pos, epoch = gen_random_uuid()::text;
    insert into waybill_audit (at, actor, because, action) values (waybill_now(), 'waybill',
      'this database is on another server, timeline or cluster than before: it was restored or promoted, and may be an older state', 'epoch');
  end if;
  if split_part(s.cluster, '/', 1) <> split_part(here, '/', 1) then perform waybill_resequence(the_floor); end if;
  update waybill_sequencer set cluster = here, generation = greatest(generation + 1, waybill_now());
  update waybill_ends set generation = (select generation from waybill_sequencer);
  delete from waybill_awake;
  insert into waybill_awake default values;
  return s.cluster <> here;
end $$;

-- After a restore into another cluster or database, whose xids are others: what was not in sequence is put there by position, once, and
-- what is visible from here on counts as read. Publishers may be at work: what they commit after this statement's snapshot has xids that
-- the next windows look for, and what was restored gets one that they do not.
create function waybill_resequence(the_floor bigint) returns void language plpgsql volatile as $$
declare
  used bigint;
  snapshot pg_snapshot;
begin
  -- A sequence that was restored older than its table would give out positions again.
  select greatest(coalesce((select max(pos) from waybill_messages), 0), (select floor from waybill_sequencer)) into used;
  if used > waybill_floor() then perform setval('waybill_positions', used); end if;
  with now as materialized (
    select pg_current_snapshot() as snapshot
  ), missing as materialized (
    select m.pos, m.topic, m.queue, row_number() over (partition by m.topic, m.queue order by m.pos) - 1 as nth from waybill_messages m
    where not exists (select 1 from (select unnest(positions) as pos from waybill_runs) known where known.pos = m.pos)
  ), runs as (
    insert into waybill_runs (topic, queue, seq_from, seq_to, first_pos, positions)
    select b.topic, b.queue, coalesce(max(e.seq), 0) + min(b.nth) + 1, coalesce(max(e.seq), 0) + max(b.nth) + 1, min(b.pos), array_agg(b.pos order by b.pos)
    from missing b left join waybill_ends e on e.topic = b.topic and e.queue = b.queue
    group by b.topic, b.queue, b.nth / ${runMax} order by 1, 2, 3
    returning topic, queue, seq_to
  ), ends as (
    insert into waybill_ends (topic, queue, seq, generation) select topic, queue, max(seq_to), 0 from runs group by topic, queue
    on conflict (topic, queue) do update set seq = excluded.seq
  ), settled as (
    update waybill_messages set xid = '2' where xid >= (select pg_snapshot_xmin(now.snapshot) from now)
  )
  select now.snapshot into snapshot from now;
  update waybill_sequencer set from_snapshot = snapshot, floor = the_floor, next = pg_current_xact_id(),
    to_snapshot = null, to_floor = null, to_next = null, after = 0;
end $$;

-- Answers how many, the generation after it, the ends of the queues that have got new places since the one that is known, the messages
-- of a short window, and what else waits for an owner, if one is named: that first, while nobody waits for this transaction, and only of
-- those of its queues for which something does. Whether other instances read here, if it is asked: whoever begins looks by itself.
create function waybill_sequence(max_rows integer, known bigint, the_owner text, asks_others boolean, out taken_rows integer, out at_generation bigint, out ends json,
    out told json, out outlooks json, out has_others boolean)
  language plpgsql volatile set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  before record;
  s waybill_sequencer;
  seen pg_snapshot;
  written pg_lsn;
  the_floor bigint;
  last_pos bigint;
  single waybill_messages;
  place bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'waybill_sequence needs a read committed transaction';
  end if;
  -- Of a connection that somebody gave back to the pool in the middle of one: where it draws the line between the windows, an xid that was
  -- drawn before would lie on the wrong side.
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'waybill_sequence needs a transaction of its own: this connection is in the middle of one' using errcode = '25001';
  end if;
  if the_owner is not null and (exists (select 1 from waybill_pauses) or exists (select 1 from waybill_delayed)
    or exists (select 1 from waybill_dispositions where state in ('retrying', 'running') and due_at is not null))
  then
    select json_agg(o) into outlooks from (${outlookText.replace('?', 'the_owner')}) o where due_at is not null or is_paused;
  end if;
  <<taking>>
  begin
    if pg_is_in_recovery() then
      select *, true as is_awake into before from waybill_sequencer;
    else
      select q.*, exists (select 1 from waybill_awake where server = waybill_server()) as is_awake into before from waybill_sequencer q;
    end if;
    if not before.is_awake then
      perform waybill_rebase();
      -- As if there were more: a floor may only be read before the transaction has its xid, so the window is the next call's.
      select max_rows, generation into taken_rows, at_generation from waybill_sequencer;
      exit taking;
    end if;
    if before.to_snapshot is null and not exists (
      select 1 from waybill_messages where pos > before.floor and (xid >= greatest(before.next, pg_snapshot_xmax(before.from_snapshot))) is true
    ) and not exists (
      select 1 from waybill_messages where xid >= pg_snapshot_xmax(before.from_snapshot) and xid < before.next
    ) and not exists (
      select 1 from waybill_messages where xid = any (array(select pg_snapshot_xip(before.from_snapshot)))
    ) then
      taken_rows := 0;
      at_generation := before.generation;
      exit taking;
    end if;
    select pg_current_snapshot() into seen;
    select waybill_floor(), pg_current_wal_insert_lsn() into the_floor, written;
    select * into s from waybill_sequencer for update;
    at_generation := s.generation + 1;
    if s.to_snapshot is null then
      select pg_current_snapshot(), the_floor, pg_current_xact_id(), 0 into s.to_snapshot, s.to_floor, s.to_next, s.after;
    end if;
    -- A publisher may run with it off: its rows must be on disk before any of them is read. They are where nothing was committed since
    -- what is flushed by now. Places that are lost with the server are given again, to readers whose cursors are lost with them; but
    -- those of another database remember places.
    if s.to_snapshot::text = seen::text and pg_current_wal_flush_lsn() >= written
      and not exists (select 1 from waybill_cursors where reader like '@relay%' or reader like '@land%')
    then
      perform set_config('synchronous_commit', 'off', true);
    else
      perform set_config('synchronous_commit', 'on', true);
    end if;
    select count(*), max(pos) into taken_rows, last_pos from (
      select pos from waybill_messages where ${isLate}
      union all select pos from waybill_messages where ${wasOpen}
      union all select pos from waybill_messages where ${isFresh}
      limit 2
    ) few;
    if taken_rows = 1 then
      -- As below, for the window of a service that is not busy.
      select * into single from waybill_messages where pos = last_pos;
      insert into waybill_ends as e (topic, queue, seq, generation) values (single.topic, single.queue, 1, at_generation)
        on conflict (topic, queue) do update set seq = e.seq + 1, generation = excluded.generation
        returning seq into place;
      insert into waybill_runs (topic, queue, seq_from, seq_to, first_pos, positions)
        values (single.topic, single.queue, place, place, last_pos, array[last_pos]);
      told := json_build_array(${toldOf('single', 'place')});
    elsif taken_rows > 1 then
      with late as materialized (
        select pos, topic, queue from waybill_messages where ${isLate}
        union all
        select pos, topic, queue from waybill_messages where ${wasOpen}
      ), fresh as materialized (
        select pos, topic, queue from waybill_messages where ${isFresh} order by pos limit max_rows
      ), batch as materialized (
        select * from (select * from late union all select * from fresh) rows order by pos limit max_rows
      ), runs as (
        insert into waybill_runs (topic, queue, seq_from, seq_to, first_pos, positions)
        select b.topic, b.queue, coalesce(max(e.seq), 0) + 1, coalesce(max(e.seq), 0) + count(*), min(b.pos), array_agg(b.pos order by b.pos)
        from batch b left join waybill_ends e on e.topic = b.topic and e.queue = b.queue
        group by b.topic, b.queue
        returning topic, queue, seq_from, seq_to, positions
      ), ends as (
        insert into waybill_ends (topic, queue, seq, generation) select topic, queue, seq_to, at_generation from runs
        on conflict (topic, queue) do update set seq = excluded.seq, generation = excluded.generation
      )
      select count(*), max(pos), case when count(*) <= ${toldMax} then (
          select json_agg(${toldOf('m', 'r.seq_from + p.ord - 1')})
          from runs r, unnest(r.positions) with ordinality p(pos, ord)
            cross join lateral (select * from waybill_messages where pos = p.pos offset 0) m
        ) end
      into taken_rows, last_pos, told from batch;
    end if;
    if taken_rows < max_rows then
      update waybill_sequencer set from_snapshot = s.to_snapshot, floor = s.to_floor, next = s.to_next,
        to_snapshot = null, to_floor = null, to_next = null, after = 0, generation = at_generation;
    else
      update waybill_sequencer set to_snapshot = s.to_snapshot, to_floor = s.to_floor, to_next = s.to_next, after = last_pos,
        generation = at_generation;
    end if;
  end taking;
  select json_agg(json_build_array(topic, queue, seq)) into ends from waybill_ends where generation > known;
  if asks_others then
    has_others := exists (select 1 from waybill_members where owner is distinct from the_owner and expires_at > waybill_now());
  end if;
end $$;
`
