import {
  type Asked,
  type DispositionFacts,
  type FactStore,
  type MessageFacts,
  type ReaderFacts,
  type StoreFacts,
  messagesToldMax,
  waitingCountMax,
} from '../../core/facts.ts'
import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import type { MyAccess } from './access.ts'
import { bookStore } from './books.ts'
import type { MyConnection } from './connection.ts'
import type { MyRow } from './driver.ts'
import { groupFacts, landedFacts, sightFacts, toMessageFacts } from './facts-rows.ts'
import { keptSince } from './kept-since.ts'
import { outcomesOf } from './outcomes.ts'
import { placeOf } from './log.ts'
import { rowsOf, texts } from './rows.ts'
import type { Sequencing } from './sequencing.ts'
import { joined, sql } from './sql.ts'

export function factStore(access: MyAccess, sequencing: Sequencing): FactStore {
  return {
    of: async (asked) => {
      // Where a message stands to the cursors is known of what is in sequence.
      await sequencing.all()
      const epoch = await access.epoch()
      return access.snapshot((connection) => factsOf(connection, epoch, asked))
    },
    books: bookStore(access, sequencing),
  }
}

async function factsOf(connection: MyConnection, epoch: string, asked: Asked): Promise<StoreFacts> {
  const ids = await idsOf(connection, asked)
  const messages = await messagesOf(connection, ids.slice(0, messagesToldMax))
  const [at] = await connection.all(
    "select waybill_now() as now, exists (select 1 from waybill_cursors where reader = '@relay') as relays",
  )
  return {
    epoch,
    now: at!['now'],
    keptSince: await keptSince(connection),
    messages,
    more: ids.length > messagesToldMax,
    relays: at!['relays'] === 1,
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

/** Newest first, up to one more than are told about. */
async function idsOf(connection: MyConnection, asked: Asked): Promise<readonly MessageId[]> {
  if ('id' in asked) return [asked.id]
  const limit = messagesToldMax + 1
  const selects = byKey.map(([id, table, newest]) => ({
    text: `(select ${id}, published_at from ${table} where msg_key = ? order by ${newest} desc limit ?)`,
    params: [asked.key, limit],
  }))
  const { text, params } = joined(selects, ' union all ')
  const newestFirst = (await connection.all(text, ...params)).toSorted(
    (a, b) => b['published_at'] - a['published_at'] || (a['id'] < b['id'] ? 1 : -1),
  )
  return [...new Set(newestFirst.map((row) => row['id'] as MessageId))].slice(0, limit)
}

const inLog = `select m.id, m.topic, m.queue, m.msg_key, m.tag, m.sharding_key, m.service, m.published_at, m.eligible_at,
    m.source, m.source_queue, m.source_pos, ${placeOf('m')} as pos from waybill_messages m where m.id in (${texts})`
/** What was parked under the id of another message is not that message. */
const inCopies = `select * from waybill_copies where id in (${texts}) order by grp = '@land' desc`

/** Without those that this database knows nothing of. */
async function messagesOf(
  connection: MyConnection,
  ids: readonly MessageId[],
): Promise<readonly MessageFacts[]> {
  if (ids.length === 0) return []
  const list = JSON.stringify(ids)
  const byId = async (text: string): Promise<ReadonlyMap<MessageId, MyRow>> =>
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
    return found ? [toMessageFacts(found[1].get(id)!, found[0], halves.get(id), ended.get(id))] : []
  })
  return withFates(connection, messages)
}

/** With what became of those that entered the log, or will. */
async function withFates(
  connection: MyConnection,
  messages: readonly MessageFacts[],
): Promise<readonly MessageFacts[]> {
  const placed = messages.filter(({ place }) => place === 'log' || place === 'copy' || place === 'delayed')
  if (placed.length === 0) return messages
  const relayed = await relayedOf(
    connection,
    placed.filter(({ place, source }) => place === 'log' && source === null),
  )
  const suppressed = await suppressedOf(connection, placed)
  const groups = await dispositionsOf(connection, placed)
  return messages.map((message) => ({
    ...message,
    relayed: relayed.get(message.id) ?? null,
    suppressed: suppressed.get(message.id) ?? [],
    groups: groups.get(message.id) ?? [],
  }))
}

async function suppressedOf(
  connection: MyConnection,
  messages: readonly MessageFacts[],
): Promise<ReadonlyMap<MessageId, MessageFacts['suppressed']>> {
  const rows = await connection.all(
    `select message_id, cause, at from waybill_suppressed where message_id in (${texts}) order by at`,
    JSON.stringify(messages.map(({ id }) => id)),
  )
  const byId = Map.groupBy(rows, (row) => row['message_id'] as MessageId)
  return new Map([...byId].map(([id, of]) => [id, of.map((row) => ({ cause: row['cause'], at: row['at'] }))]))
}

async function relayedOf(
  connection: MyConnection,
  messages: readonly MessageFacts[],
): Promise<ReadonlyMap<MessageId, MessageFacts['relayed']>> {
  if (messages.length === 0) return new Map()
  const rows = await connection.all(
    `select m.id, b.at, b.transport, b.proof
     from ${rowsOf('id varchar(255)', 'topic varchar(100)', 'queue integer', 'position bigint')} m
       straight_join waybill_relay_batches b on b.topic = m.topic and b.queue = m.queue and b.from_pos = (
         select max(f.from_pos) from waybill_relay_batches f where f.topic = m.topic and f.queue = m.queue and f.from_pos <= m.position
       ) where b.to_pos >= m.position`,
    JSON.stringify(messages.map(({ id, topic, queue, position }) => [id, topic, queue, position])),
  )
  return new Map(
    rows.map((row) => [row['id'], { at: row['at'], transport: row['transport'], proof: row['proof'] }]),
  )
}

/** Of every group that reads its queue or has a disposition of it; of the relay and of landing only what is written down. */
async function dispositionsOf(
  connection: MyConnection,
  messages: readonly MessageFacts[],
): Promise<ReadonlyMap<MessageId, readonly DispositionFacts[]>> {
  // What is delayed is in no queue yet, whatever its position among the delayed.
  const outcomes = await outcomesOf(
    connection,
    messages.map((message) => (message.place === 'delayed' ? { ...message, position: 0 } : message)),
  )
  const told = new Map<MessageId, DispositionFacts[]>()
  for (const [id, rows] of outcomes) {
    const groups: DispositionFacts[] = []
    for (const row of rows) {
      const isWaiting = row['is_ahead'] === 1 && !row['grp'].startsWith('@')
      const state = (row['state'] as State | null) ?? (isWaiting ? 'waiting' : undefined)
      if (state === undefined) continue
      groups.push(toDisposition(row, state, state === 'held' ? await behindOf(connection, row) : null))
    }
    told.set(id, groups)
  }
  return told
}

function toDisposition(row: MyRow, state: State, behind: DispositionFacts['behind']): DispositionFacts {
  return {
    group: row['grp'],
    state,
    attempts: row['attempts'] ?? 0,
    generation: row['generation'] ?? 0,
    dueAt: row['due_at'],
    cause: row['cause'],
    because: row['because'],
    dependency: row['dependency'],
    at: row['at'],
    behind,
  }
}

async function behindOf(connection: MyConnection, held: MyRow): Promise<DispositionFacts['behind']> {
  const { text, params } = sql`select message_id, state from waybill_dispositions
    where grp = ${held['grp']} and topic = ${held['topic']} and sharding_key = ${held['sharding_key']} and pos < ${held['pos']}
      and state in ('retrying', 'running', 'held', 'dead') order by pos limit 1`
  const [head] = await connection.all(text, ...params)
  return head ? { id: head['message_id'], state: head['state'] } : null
}

const readers = `select c.reader, c.topic, c.queue, c.pos, c.start_pos, l.owner, coalesce(l.expires_at, 0) as expires_at,
    least(${waitingCountMax}, greatest(0, coalesce(e.seq, 0) - c.pos)) as waiting,
    case when c.reader = '@relay' then (
      select b.at from waybill_relay_batches b where b.topic = c.topic and b.queue = c.queue order by b.from_pos desc limit 1
    ) end as sent_at
  from ${rowsOf('topic varchar(100)', 'queue integer')} q
    straight_join waybill_cursors c on c.topic = q.topic and c.queue = q.queue
    left join waybill_leases l on l.reader = c.reader and l.topic = c.topic and l.queue = c.queue
    left join waybill_ends e on e.topic = c.topic and e.queue = c.queue
  order by c.topic, c.queue, c.reader`

async function readersOf(
  connection: MyConnection,
  messages: readonly MessageFacts[],
): Promise<readonly ReaderFacts[]> {
  const queues = new Map(messages.map(({ topic, queue }) => [`${topic}/${queue}`, { topic, queue }]))
  if (queues.size === 0) return []
  const rows = await connection.all(
    readers,
    JSON.stringify([...queues.values()].map(({ topic, queue }) => [topic, queue])),
  )
  return rows.map((row) => ({
    reader: row['reader'],
    topic: row['topic'],
    queue: row['queue'],
    position: row['pos'],
    start: row['start_pos'],
    waiting: row['waiting'],
    owner: row['owner'],
    leaseUntil: row['expires_at'],
    sentAt: row['sent_at'],
  }))
}
