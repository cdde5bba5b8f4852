import type { DispositionFacts } from '../core/facts.ts'
import type { MessageId } from '../core/ids.ts'
import {
  type Copy,
  type Places,
  carrierEpoch,
  groupsOn,
  isSent,
  landReadersOf,
  mayHaveDropped,
  sentAt,
} from './places.ts'
import { timeOf } from './reasons.ts'

export const hopNames = ['published', 'decided', 'due', 'relayed', 'accepted', 'landed', 'handled'] as const
export type HopName = (typeof hopNames)[number]
/** *no data* is not *not seen*: the database that would know could not be asked, or keeps nothing that old. */
export type Sight = 'seen' | 'not seen' | 'no data'

/** One link of a message's journey. */
export interface Hop {
  readonly hop: HopName
  readonly sight: Sight
  /** Where it was looked for; null where no database that was named would know. */
  readonly database: string | null
  readonly group: string | null
  readonly at: number | null
  /** The row's own words: state, proof, cause. */
  readonly evidence: string
}

export interface Journey {
  readonly id: MessageId
  readonly topic: string
  readonly key: string | null
  readonly publishedAt: number
  readonly hops: readonly Hop[]
}

/** Walks the links in order: published → half decided → due → relayed → accepted → landed → per group handled. */
export function journeyOf(places: Places): Journey {
  const { topic, key, publishedAt } = (places.origin ?? places.landed[0] ?? places.carried[0]!).message
  return {
    id: places.id,
    topic,
    key,
    publishedAt,
    hops: [
      ...originHops(places),
      ...acceptedHops(places),
      ...landedHops(places),
      ...[...(places.origin ? [places.origin] : []), ...places.landed].flatMap(handledHops),
    ],
  }
}

type HopFields = Pick<Hop, 'hop' | 'sight' | 'database' | 'evidence'> & Partial<Hop>

function hop(fields: HopFields): Hop {
  return { group: null, at: null, ...fields }
}

function originHops({ origin, databases }: Places): readonly Hop[] {
  if (!origin) {
    const unread = databases.unread.map(({ database, because }) => `${database}: ${because}`)
    const evidence = unread.join('; ') || "the publisher's database is not among those asked"
    return [hop({ hop: 'published', sight: 'no data', database: null, evidence })]
  }
  const { database, message } = origin
  const where =
    message.place === 'log' ? `queue ${message.queue}, position ${message.position}` : message.place
  const published = hop({
    hop: 'published',
    sight: 'seen',
    database,
    at: message.publishedAt,
    evidence: `by ${message.service}, ${where}`,
  })
  return [published, ...decidedHops(origin), ...dueHops(origin), ...relayedHops(origin)]
}

function decidedHops({ database, message: { half } }: Copy): readonly Hop[] {
  if (!half) return []
  const isDecided = half.decidedAt !== null
  const checks = `${half.checks} checks answered, ${half.failures} failed`
  const because = half.because === null ? '' : `, ${half.because}`
  const evidence = isDecided
    ? `${half.state} by ${half.decidedBy ?? '-'}${because}`
    : `${half.state}, ${checks}${because}`
  return [
    hop({ hop: 'decided', sight: isDecided ? 'seen' : 'not seen', database, at: half.decidedAt, evidence }),
  ]
}

function dueHops({ database, message }: Copy): readonly Hop[] {
  const { place, ended, half, eligibleAt, publishedAt } = message
  if (ended?.state === 'cancelled') {
    const evidence = `cancelled at ${timeOf(ended.at)}: ${ended.because ?? '-'}`
    return [hop({ hop: 'due', sight: 'not seen', database, evidence })]
  }
  if (place === 'delayed')
    return [hop({ hop: 'due', sight: 'not seen', database, evidence: `delayed until ${timeOf(eligibleAt)}` })]
  // A half message's eligibleAt may be its decision's time.
  if (half || place === 'ended' || eligibleAt <= publishedAt) return []
  return [hop({ hop: 'due', sight: 'seen', database, at: eligibleAt, evidence: 'moved into the log' })]
}

function relayedHops(origin: Copy): readonly Hop[] {
  const { database, message } = origin
  if (message.place === 'copy')
    return [hop({ hop: 'relayed', sight: 'no data', database, evidence: 'the log row was dropped' })]
  const sent = isSent(origin)
  if (sent === undefined) return []
  const own = message.groups.find(({ group }) => group === '@relay')
  const proof = message.relayed ? `${message.relayed.transport}: ${message.relayed.proof}` : undefined
  const disposition = own && [own.state, own.because ?? ''].filter((part) => part !== '').join(', ')
  const evidence = disposition ?? (sent ? (proof ?? 'passed by its cursor') : 'its cursor has not passed it')
  return [
    hop({
      hop: 'relayed',
      sight: sent ? 'seen' : 'not seen',
      database,
      at: sent ? sentAt(origin) : (own?.at ?? null),
      evidence,
    }),
  ]
}

function acceptedHops({ origin, carried, databases }: Places): readonly Hop[] {
  if (carried.length > 0)
    return carried.map(({ database, message }) =>
      hop({
        hop: 'accepted',
        sight: 'seen',
        database,
        evidence: `queue ${message.queue}, position ${message.position}`,
      }),
    )
  const epoch = carrierEpoch(origin)
  if (!origin || epoch === undefined || isSent(origin) !== true) return []
  const carrier = databases.known.find(({ facts }) => facts.epoch === epoch)
  if (!carrier)
    return [hop({ hop: 'accepted', sight: 'seen', database: null, evidence: 'the carrier confirmed it' })]
  return [
    mayHaveDropped(carrier.facts, origin.message.publishedAt)
      ? hop({
          hop: 'accepted',
          sight: 'no data',
          database: carrier.database,
          evidence: `nothing before ${timeOf(carrier.facts.keptSince)} need be kept`,
        })
      : hop({
          hop: 'accepted',
          sight: 'not seen',
          database: carrier.database,
          evidence: 'the carrier confirmed it, and has it no more',
        }),
  ]
}

function landedHops({ origin, carried, landed, subscribers, elsewhere, databases }: Places): readonly Hop[] {
  const seen = landed.map(({ database, message: { source, queue, position } }) =>
    hop({
      hop: 'landed',
      sight: 'seen',
      database,
      evidence: `queue ${queue}, position ${position}, from ${source!.source} queue ${source!.queue} position ${source!.position}`,
    }),
  )
  const mayHaveLeft = origin === undefined || isSent(origin) === true
  if (!mayHaveLeft) return seen
  const publishedAt = (origin ?? landed[0] ?? carried[0]!).message.publishedAt
  const isProvenAtCarrier = carried.some((copy) =>
    landReadersOf(copy).some((reader) => reader.position < copy.message.position),
  )
  const absent = subscribers
    .filter(({ database }) => !landed.some((copy) => copy.database === database))
    .map(({ database, facts }) => {
      const dropped = mayHaveDropped(facts, publishedAt)
      const isKnown = !dropped && (databases.unread.length === 0 || isProvenAtCarrier)
      return hop({
        hop: 'landed',
        sight: isKnown ? 'not seen' : 'no data',
        database,
        evidence: dropped
          ? `nothing before ${timeOf(facts.keptSince)} need be kept`
          : isKnown
            ? 'not in its log'
            : 'not in its log, and not every database could be read',
      })
    })
  const unread = databases.unread.map(({ database, because }) =>
    hop({ hop: 'landed', sight: 'no data', database, evidence: because }),
  )
  const unasked = elsewhere.map(({ name }) =>
    hop({
      hop: 'landed',
      sight: 'no data',
      database: null,
      group: name,
      evidence: 'this group consumes in a database that is not among those asked',
    }),
  )
  return [...seen, ...absent, ...unread, ...unasked]
}

function handledHops(copy: Copy): readonly Hop[] {
  const { database, facts, message } = copy
  const written = message.groups
    .filter(({ group }) => !group.startsWith('@') || group === '@land')
    .map((disposition) => handledHop(database, disposition))
  const silent = groupsOn(facts, message.topic)
    .filter(({ name }) => !message.groups.some(({ group }) => group === name))
    .map(({ name }) =>
      hop({
        hop: 'handled',
        sight: 'no data',
        database,
        group: name,
        evidence: 'its cursor is past it, and it has no disposition',
      }),
    )
  return message.place === 'log' ? [...written, ...silent] : written
}

const arrived = new Set(['done', 'discarded', 'filtered'])

function handledHop(database: string, disposition: DispositionFacts): Hop {
  const { group, state, attempts, at, cause, because, dependency } = disposition
  const evidence = [
    state,
    attempts > 0 ? `${attempts} failed` : '',
    cause ?? '',
    dependency === null || arrived.has(state) ? '' : `charged to ${dependency}`,
    because ?? '',
  ]
  return hop({
    hop: 'handled',
    sight: arrived.has(state) ? 'seen' : 'not seen',
    database,
    group,
    at,
    evidence: evidence.filter((part) => part !== '').join(', '),
  })
}
