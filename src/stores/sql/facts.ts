import type { BookStore } from '../../core/books.ts'
import type { DependencySight } from '../../core/dependencies.ts'
import {
  type Asked,
  type DispositionFacts,
  type FactStore,
  type GroupFacts,
  type MessageFacts,
  type ReaderFacts,
  type StoreFacts,
  messagesToldMax,
  waitingCountMax,
} from '../../core/facts.ts'
import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import type { SqlAccess, SqlConnection, SqlSequencing } from './connection.ts'
import { toSight } from './dependencies.ts'
import {
  newestIds,
  toDispositionFacts,
  toGroupFacts,
  toLandedFacts,
  toMessageFacts,
  toReaderFacts,
} from './fact-rows.ts'
import { keptSince } from './kept-since.ts'
import { type SqlRow, joined, sql } from './sql.ts'

/** What each store looks up in its own way. */
export interface FactLookups<C extends SqlConnection> {
  readonly books: BookStore
  /** The place of a row of the log, from the row. */
  placeOf(row: string): string
  /** Joins `b`, the last batch of the relay that begins at the place of a row `m`, or before it. */
  readonly joinBatch: string
  outcomesOf(connection: C, messages: readonly Placed[]): Promise<ReadonlyMap<MessageId, readonly SqlRow[]>>
}

/** A message with its place in the sequence of its queue. */
export interface Placed {
  readonly id: MessageId
  readonly topic: string
  readonly queue: number
  readonly position: number
}

export function factStore<C extends SqlConnection>(
  access: SqlAccess<C>,
  sequencing: SqlSequencing,
  lookups: FactLookups<C>,
): FactStore {
  return {
    of: async (asked) => {
      // Where a message stands to the cursors is known of what is in sequence.
      await sequencing.all()
      const epoch = await access.epoch()
      return access.snapshot((connection) => factsOf(connection, lookups, epoch, asked))
    },
    books: lookups.books,
  }
}

async function factsOf<C extends SqlConnection>(
  connection: C,
  lookups: FactLookups<C>,
  epoch: string,
  asked: Asked,
): Promise<StoreFacts> {
  const ids = await idsOf(connection, asked)
  const messages = await messagesOf(connection, lookups, ids.slice(0, messagesToldMax))
  const [at] = await connection.all(
    "select waybill_now() as now, exists (select 1 from waybill_cursors where reader = '@relay') as relays",
  )
  return {
    epoch,
    now: at!['now'],
    keptSince: await keptSince(connection),
    messages,
    more: ids.length > messagesToldMax,
    relays: Boolean(at!['relays']),
    readers: await readersOf(connection, messages),
    groups: await groupFacts(connection),
    dependencies: await sightFacts(connection),
    landed: await landedFacts(connection),
  }
}

/** Wherever a message with this key may lie, each answered from its index. */
const byKey = [
  ['id', 'waybill_messages', 'pos'],
  ['id', 'waybill_delayed', 'pos'],
  ['id', 'waybill_halves', 'pos'],
  ['message_id as id', 'waybill_ended', 'published_at'],
  ['id', 'waybill_copies', 'published_at'],
] as const

async function idsOf(connection: SqlConnection, asked: Asked): Promise<readonly MessageId[]> {
  if ('id' in asked) return [asked.id]
  const selects = byKey.map(([id, table, newest]) => ({
    text: `(select ${id}, published_at from ${table} where ${connection.dialect.names.key} = ? order by ${newest} desc limit ?)`,
    params: [asked.key, messagesToldMax + 1],
  }))
  const { text, params } = joined(selects, ' union all ')
  return newestIds(await connection.all(text, ...params))
}

/** Without those that this database knows nothing of. */
async function messagesOf<C extends SqlConnection>(
  connection: C,
  lookups: FactLookups<C>,
  ids: readonly MessageId[],
): Promise<readonly MessageFacts[]> {
  if (ids.length === 0) return []
  const { names, texts } = connection.dialect
  const columns = `m.id, m.topic, m.queue, m.${names.key}, m.tag, m.sharding_key, m.service, m.published_at, m.eligible_at,
    m.source, m.source_queue, m.source_pos`
  const inLog = `select ${columns}, ${lookups.placeOf('m')} as pos from waybill_messages m where m.id in (${texts})`
  // What was parked under the id of another message is not that message: it comes first, so that the other stands over it.
  const inCopies = `select ${columns}, m.pos from waybill_copies m where m.id in (${texts}) order by m.grp = '@land' desc`
  const list = JSON.stringify(ids)
  const byId = async (text: string): Promise<ReadonlyMap<MessageId, SqlRow>> =>
    new Map((await connection.all(text, list)).map((row) => [row['id'] ?? row['message_id'], row]))
  const halves = await byId(`select * from waybill_halves where id in (${texts})`)
  const ended = await byId(`select * from waybill_ended where message_id in (${texts})`)
  const places = [
    ['log', await byId(inLog)],
    ['delayed', await byId(`select * from waybill_delayed where id in (${texts})`)],
    ['copy', await byId(inCopies)],
    ['ended', ended],
    ['half', halves],
  ] as const
  const messages = ids.flatMap((id) => {
    const found = places.find(([, rows]) => rows.has(id))
    return found ? [toMessageFacts(found[1].get(id)!, found[0], halves.get(id), ended.get(id), names)] : []
  })
  return withFates(connection, lookups, messages)
}

/** With what became of those that entered the log, or will. */
async function withFates<C extends SqlConnection>(
  connection: C,
  lookups: FactLookups<C>,
  messages: readonly MessageFacts[],
): Promise<readonly MessageFacts[]> {
  const placed = messages.filter(({ place }) => place === 'log' || place === 'copy' || place === 'delayed')
  if (placed.length === 0) return messages
  const relayed = await relayedOf(
    connection,
    lookups.joinBatch,
    placed.filter(({ place, source }) => place === 'log' && source === null),
  )
  const suppressed = await suppressedOf(connection, placed)
  const groups = await dispositionsOf(connection, lookups, placed)
  return messages.map((message) => ({
    ...message,
    relayed: relayed.get(message.id) ?? null,
    suppressed: suppressed.get(message.id) ?? [],
    groups: groups.get(message.id) ?? [],
  }))
}

async function suppressedOf(
  connection: SqlConnection,
  messages: readonly MessageFacts[],
): Promise<ReadonlyMap<MessageId, MessageFacts['suppressed']>> {
  const rows = await connection.all(
    `select message_id, cause, at from waybill_suppressed where message_id in (${connection.dialect.texts}) order by at`,
    JSON.stringify(messages.map(({ id }) => id)),
  )
  const byId = Map.groupBy(rows, (row) => row['message_id'] as MessageId)
  return new Map([...byId].map(([id, of]) => [id, of.map((row) => ({ cause: row['cause'], at: row['at'] }))]))
}

async function relayedOf(
  connection: SqlConnection,
  joinBatch: string,
  messages: readonly MessageFacts[],
): Promise<ReadonlyMap<MessageId, MessageFacts['relayed']>> {
  if (messages.length === 0) return new Map()
  const placed = connection.dialect.rowsOf({
    id: 'text',
    topic: 'text',
    queue: 'integer',
    place: 'bigint',
  })
  const rows = await connection.all(
    `select m.id, b.at, b.transport, b.proof from ${placed} m ${joinBatch} where b.to_pos >= m.place`,
    JSON.stringify(messages.map(({ id, topic, queue, position }) => [id, topic, queue, position])),
  )
  return new Map(
    rows.map((row) => [row['id'], { at: row['at'], transport: row['transport'], proof: row['proof'] }]),
  )
}

/** Of every group that reads its queue or has a disposition of it; of the relay and of landing only what is written down. */
async function dispositionsOf<C extends SqlConnection>(
  connection: C,
  lookups: FactLookups<C>,
  messages: readonly MessageFacts[],
): Promise<ReadonlyMap<MessageId, readonly DispositionFacts[]>> {
  // What is delayed is in no queue yet, whatever its position among the delayed.
  const outcomes = await lookups.outcomesOf(
    connection,
    messages.map((message) => (message.place === 'delayed' ? { ...message, position: 0 } : message)),
  )
  const told = new Map<MessageId, DispositionFacts[]>()
  for (const [id, rows] of outcomes) {
    const groups: DispositionFacts[] = []
    for (const row of rows) {
      const isWaiting = row['is_ahead'] && !row['grp'].startsWith('@')
      const state = (row['state'] as State | null) ?? (isWaiting ? 'waiting' : undefined)
      if (state === undefined) continue
      groups.push(toDispositionFacts(row, state, state === 'held' ? await behindOf(connection, row) : null))
    }
    told.set(id, groups)
  }
  return told
}

async function behindOf(connection: SqlConnection, held: SqlRow): Promise<DispositionFacts['behind']> {
  const { text, params } = sql`select message_id, state from waybill_dispositions
    where grp = ${held['grp']} and topic = ${held['topic']} and sharding_key = ${held['sharding_key']} and pos < ${held['pos']}
      and state in ('retrying', 'running', 'held', 'dead') order by pos limit 1`
  const [head] = await connection.all(text, ...params)
  return head ? { id: head['message_id'], state: head['state'] } : null
}

async function readersOf(
  connection: SqlConnection,
  messages: readonly MessageFacts[],
): Promise<readonly ReaderFacts[]> {
  const queues = new Map(messages.map(({ topic, queue }) => [`${topic}/${queue}`, [topic, queue]]))
  if (queues.size === 0) return []
  const { join, rowsOf } = connection.dialect
  const rows = await connection.all(
    `select c.reader, c.topic, c.queue, c.pos, c.start_pos, l.owner, coalesce(l.expires_at, 0) as expires_at,
       least(${waitingCountMax}, greatest(0, coalesce(e.seq, 0) - c.pos)) as waiting,
       case when c.reader = '@relay' then (
         select b.at from waybill_relay_batches b where b.topic = c.topic and b.queue = c.queue order by b.from_pos desc limit 1
       ) end as sent_at
     from ${rowsOf({ topic: 'text', queue: 'integer' })} q
       ${join} waybill_cursors c on c.topic = q.topic and c.queue = q.queue
       left join waybill_leases l on l.reader = c.reader and l.topic = c.topic and l.queue = c.queue
       left join waybill_ends e on e.topic = c.topic and e.queue = c.queue
     order by c.topic, c.queue, c.reader`,
    JSON.stringify([...queues.values()]),
  )
  return rows.map(toReaderFacts)
}

async function groupFacts(connection: SqlConnection): Promise<readonly GroupFacts[]> {
  const rows = await connection.all(
    `select g.name, g.database_id, g.subscription, g.ordered, p.at, p.actor, p.because
     from waybill_groups g left join waybill_pauses p on p.grp = g.name order by g.name`,
  )
  return rows.map(toGroupFacts)
}

async function sightFacts(connection: SqlConnection): Promise<readonly DependencySight[]> {
  const rows = await connection.all('select * from waybill_dependencies order by name, owner')
  return rows.map((row) => toSight(row, connection.dialect.names))
}

export async function landedFacts(connection: SqlConnection): Promise<StoreFacts['landed']> {
  const rows = await connection.all('select * from waybill_landed order by source, topic, queue')
  return rows.map(toLandedFacts)
}
