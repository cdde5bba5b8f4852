import { dueReader } from '../../core/delayed.ts'
import {
  type Asked,
  type DispositionFacts,
  type FactStore,
  type MessageFacts,
  type ReaderFacts,
  type RelayedFacts,
  type StoreFacts,
  messagesToldMax,
  waitingCountMax,
} from '../../core/facts.ts'
import type { MessageId } from '../../core/ids.ts'
import type { State } from '../../core/state.ts'
import { plainNames } from '../sql/dialect.ts'
import { newestIds, toDispositionFacts, toMessageFacts, toReaderFacts } from '../sql/fact-rows.ts'
import type { SqliteAccess } from './access.ts'
import { bookStore } from './books.ts'
import type { Row, SqliteConnection } from './driver.ts'
import { groupFacts, landedFacts, sightFacts } from './facts-rows.ts'
import { keptSince } from './kept-since.ts'
import { inSnapshot } from './snapshot.ts'

export function factStore(access: SqliteAccess): FactStore {
  return {
    of: async (asked) => inSnapshot(access, (connection) => factsOf(connection, access, asked)),
    books: bookStore(access),
  }
}

function factsOf(connection: SqliteConnection, { epoch, now }: SqliteAccess, asked: Asked): StoreFacts {
  const ids = idsOf(connection, asked)
  const messages = ids.slice(0, messagesToldMax).flatMap((id) => messageOf(connection, id) ?? [])
  return {
    epoch,
    now: now(),
    keptSince: keptSince(connection),
    messages,
    more: ids.length > messagesToldMax,
    relays: connection.all("select 1 from waybill_cursors where reader = '@relay' limit 1").length > 0,
    readers: readersOf(connection, messages),
    groups: groupFacts(connection),
    dependencies: sightFacts(connection),
    landed: landedFacts(connection),
  }
}

/** Wherever a message with this key may lie, each answered from its index. */
const byKey = [
  'select id, published_at from waybill_messages where key = ? order by pos desc limit ?',
  'select id, published_at from waybill_delayed where key = ? order by pos desc limit ?',
  'select id, published_at from waybill_halves where key = ? order by pos desc limit ?',
  'select message_id as id, published_at from waybill_ended where key = ? order by published_at desc limit ?',
  'select message_id as id, published_at from waybill_copies where key = ? order by published_at desc limit ?',
]

function idsOf(connection: SqliteConnection, asked: Asked): readonly MessageId[] {
  if ('id' in asked) return [asked.id]
  return newestIds(byKey.flatMap((sql) => connection.all(sql, asked.key, messagesToldMax + 1)))
}

/** Undefined if this database knows nothing of it. */
function messageOf(connection: SqliteConnection, id: MessageId): MessageFacts | undefined {
  const one = (sql: string): Row | undefined => connection.all(sql, id)[0]
  const half = one('select * from waybill_halves where id = ?')
  const ended = one('select * from waybill_ended where message_id = ?')
  const places = [
    ['log', 'select * from waybill_messages where id = ?'],
    ['delayed', 'select * from waybill_delayed where id = ?'],
    // What was parked under the id of another message is not that message.
    [
      'copy',
      "select *, message_id as id from waybill_copies where message_id = ? order by grp = '@land' limit 1",
    ],
  ] as const
  for (const [place, sql] of places) {
    const row = one(sql)
    if (!row) continue
    const relayed = place === 'log' ? relayedOf(connection, row) : null
    const suppressed = connection.all('select cause, at from waybill_suppressed where message_id = ?', id)
    return {
      ...toMessageFacts(row, place, half, ended, plainNames),
      relayed,
      suppressed: suppressed.map(toSuppressed),
      groups: dispositionsOf(connection, row),
    }
  }
  const row = ended ?? half
  return row && toMessageFacts(row, ended ? 'ended' : 'half', half, ended, plainNames)
}

const toSuppressed = (row: Row): MessageFacts['suppressed'][number] => ({
  cause: row['cause'] as string,
  at: row['at'] as number,
})

function relayedOf(connection: SqliteConnection, message: Row): RelayedFacts | null {
  if (message['source'] !== null) return null
  const batch = connection.all(
    `select b.at, b.transport, b.proof, b.to_pos from waybill_relay_batches b
     where b.topic = ? and b.queue = ? and b.from_pos <= ? order by b.from_pos desc limit 1`,
    message['topic']!,
    message['queue']!,
    message['pos']!,
  )[0]
  if (!batch || (batch['to_pos'] as number) < (message['pos'] as number)) return null
  return {
    at: batch['at'] as number,
    transport: batch['transport'] as string,
    proof: batch['proof'] as string,
  }
}

const dispositionColumns =
  'd.state, d.attempts, d.generation, d.due_at, d.cause, d.because, d.dependency, d.at, d.topic, d.sharding_key, d.pos'

/** Of every group that reads its queue or has a disposition of it; of the relay and of landing only what is written down. */
function dispositionsOf(connection: SqliteConnection, message: Row): readonly DispositionFacts[] {
  const of = [message['id'] as string, message['topic'] as string, message['queue'] as number]
  const rows = connection.all(
    `select c.reader as grp, c.pos as cursor, ${dispositionColumns} from waybill_cursors c
       left join waybill_dispositions d on d.grp = c.reader and d.message_id = ?
     where c.topic = ? and c.queue = ? and c.reader not like '@land:%' and c.reader <> '${dueReader}'
     union all
     select grp, 0, ${dispositionColumns} from waybill_dispositions d
     where message_id = ? and state <> 'done' and grp not in (select reader from waybill_cursors where topic = ? and queue = ?)
     order by 1`,
    ...of,
    ...of,
  )
  return rows.flatMap((row) => {
    const isOwn = (row['grp'] as string).startsWith('@')
    const isWaiting = !isOwn && (row['cursor'] as number) < (message['pos'] as number)
    const state = (row['state'] as State | null) ?? (isWaiting ? 'waiting' : undefined)
    return state === undefined
      ? []
      : [toDispositionFacts(row, state, state === 'held' ? behindOf(connection, row) : null)]
  })
}

function behindOf(connection: SqliteConnection, held: Row): DispositionFacts['behind'] {
  const head = connection.all(
    `select message_id, state from waybill_dispositions where grp = ? and topic = ? and sharding_key = ? and pos < ?
       and state in ('retrying', 'running', 'held', 'dead') order by pos limit 1`,
    held['grp']!,
    held['topic']!,
    held['sharding_key'] ?? null,
    held['pos']!,
  )[0]
  return head ? { id: head['message_id'] as MessageId, state: head['state'] as State } : null
}

function readersOf(connection: SqliteConnection, messages: readonly MessageFacts[]): readonly ReaderFacts[] {
  const queues = new Map(messages.map(({ topic, queue }) => [`${topic}/${queue}`, { topic, queue }]))
  return [...queues.values()].flatMap(({ topic, queue }) =>
    connection
      .all(
        `select c.reader, c.topic, c.queue, c.pos, c.start_pos, l.owner, coalesce(l.expires_at, 0) as expires_at,
           (select count(*) from (select 1 from waybill_messages m where m.topic = c.topic and m.queue = c.queue and m.pos > c.pos limit ${waitingCountMax})) as waiting,
           iif(c.reader = '@relay', (select b.at from waybill_relay_batches b where b.topic = c.topic and b.queue = c.queue order by b.from_pos desc limit 1), null) as sent_at
         from waybill_cursors c left join waybill_leases l on l.reader = c.reader and l.topic = c.topic and l.queue = c.queue
         where c.topic = ? and c.queue = ? order by c.reader`,
        topic,
        queue,
      )
      .map(toReaderFacts),
  )
}
