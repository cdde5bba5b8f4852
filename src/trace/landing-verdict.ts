import { onItsWayMs } from './origin-verdict.ts'
import {
  type Copy,
  type KnownDatabase,
  type Places,
  carrierEpoch,
  groupsOn,
  isSent,
  isServed,
  landReadersOf,
  mayHaveDropped,
  sentAt,
} from './places.ts'
import { timeOf } from './reasons.ts'
import type { Both } from './sentences.ts'
import { type Evidence, type Verdict, publishedEvidence, verdict } from './verdict.ts'

/** What can be said of the groups that it should have landed for and has not, or that could not be looked at. */
export function atLanding(places: Places): readonly Verdict[] {
  const { origin, carried, landed, subscribers } = places
  if (origin && isSent(origin) !== true) return []
  // Without the publisher's database, what the carrier has of it.
  const sent = origin ?? carried[0]
  const absent = subscribers.filter(({ database }) => !landed.some((copy) => copy.database === database))
  return [
    ...(sent ? absent.flatMap((subscriber) => ofSubscriber(places, sent, subscriber)) : []),
    ...unknown(places, absent.length),
  ]
}

function ofSubscriber(places: Places, origin: Copy, { database, facts }: KnownDatabase): readonly Verdict[] {
  const { id, topic, publishedAt } = origin.message
  const groups = groupsOn(facts, topic).map(({ name }) => name)
  const at = timeOf(sentAt(origin) ?? publishedAt)
  const evidence: readonly Evidence[] = [
    publishedEvidence(origin),
    ...(origin.message.source === null ? [sentEvidence(origin)] : []),
    { database, from: 'waybill_messages', fact: 'not there' },
  ]
  const parts = { id, stoppedAt: 'landed', evidence } as const
  return groups.flatMap((group): Verdict[] => {
    if (mayHaveDropped(facts, publishedAt))
      return [
        verdict({
          ...parts,
          group,
          code: 'no-data-before',
          filling: { asked: id, date: timeOf(facts.keptSince) },
        }),
      ]
    const found = whereItStopped(places, origin, { database, facts })
    if (found === 'unknown') return []
    const { code, reason, rows } = found
    return [verdict({ ...parts, group, code, filling: { at, reason }, evidence: [...evidence, ...rows] })]
  })
}

interface Stopped {
  readonly code: 'sent-not-landed' | 'lost' | 'in-transit' | 'before-group-start'
  readonly reason: Both
  readonly rows: readonly Evidence[]
}

/** 'unknown' where a database that would know could not be read: `unknown` below says so. */
function whereItStopped(
  places: Places,
  origin: Copy,
  { database, facts }: KnownDatabase,
): Stopped | 'unknown' {
  const { databases, carried } = places
  const [carrier] = carried
  if (carrier) return atCarrier(carrier, origin, { database, facts })
  if (databases.unread.length > 0) return 'unknown'
  const isYoung = facts.now - (sentAt(origin) ?? origin.message.publishedAt) < onItsWayMs
  if (isYoung) return onItsWay
  const epoch = carrierEpoch(origin)
  const lost = databases.known.find((known) => known.facts.epoch === epoch)
  if (lost) {
    if (mayHaveDropped(lost.facts, origin.message.publishedAt)) return goneFrom(database)
    return {
      code: 'lost',
      reason: {
        en: `${lost.database} confirmed it and has it no more, and it is not in ${database}`,
        zh: `${lost.database} 确认过它，但现在没有它，${database} 中也没有`,
      },
      rows: [{ database: lost.database, from: 'waybill_messages', fact: 'not there' }],
    }
  }
  return {
    code: 'sent-not-landed',
    reason: {
      en: `it is not in ${database}; the transport that carries it cannot be looked into`,
      zh: `${database} 中没有它；无法查看传输内部`,
    },
    rows: [],
  }
}

const onItsWay: Stopped = {
  code: 'in-transit',
  reason: { en: 'it was sent a moment ago', zh: '刚刚发出' },
  rows: [],
}

/** It is with the carrier: whoever has not fetched it yet is what it waits for. */
function atCarrier(carrier: Copy, origin: Copy, { database, facts }: KnownDatabase): Stopped {
  const { message } = carrier
  const readers = landReadersOf(carrier)
  const rows = readers.map(({ reader, position, owner }): Evidence => ({
    database: carrier.database,
    from: 'waybill_cursors',
    fact: `${reader} is at ${position}, the message at ${message.position}; ${owner === null ? 'nobody serves it' : `served by ${owner}`}`,
  }))
  // A service that began after it passes it by, as its landed position does.
  const notOwed = readers.filter(({ start }) => start >= message.position)
  if (readers.length > 0 && notOwed.length === readers.length)
    return { code: 'before-group-start', reason: onItsWay.reason, rows }
  if (facts.now - (sentAt(origin) ?? origin.message.publishedAt) < onItsWayMs) return { ...onItsWay, rows }
  const landedUpTo = facts.landed.find(
    ({ source, topic, queue }) =>
      source === `database:${carrier.facts.epoch}` && topic === message.topic && queue === message.queue,
  )
  if (landedUpTo && landedUpTo.position >= message.position && notOwed.length === 0)
    return goneFrom(database, rows)
  const served = readers.find(
    (reader) => reader.position < message.position && isServed(reader, carrier.facts.now),
  )
  return { code: 'sent-not-landed', reason: lyingIn(carrier.database, served?.owner ?? null), rows }
}

function lyingIn(carrier: string, owner: string | null): Both {
  return owner === null
    ? {
        en: `it lies in ${carrier}, and no instance of the consuming service fetches it`,
        zh: `它在 ${carrier} 中，消费方没有实例来取`,
      }
    : {
        en: `it lies in ${carrier}, where ${owner} has not come to it yet`,
        zh: `它在 ${carrier} 中，${owner} 还没有读到它`,
      }
}

function goneFrom(database: string, rows: readonly Evidence[] = []): Stopped {
  return {
    code: 'lost',
    reason: {
      en: `it was fetched for ${database}, which has no trace of it`,
      zh: `它已被取走并应在 ${database} 落地，但那里没有任何记录`,
    },
    rows,
  }
}

/** Databases that could not be read and groups of databases that were not named: no data, and never *not seen*. */
function unknown(places: Places, absent: number): readonly Verdict[] {
  const { id, databases, elsewhere, carried, landed, origin } = places
  const parts = { id, code: 'no-data', stoppedAt: 'landed' } as const
  if (databases.unread.length > 0) {
    const names = databases.unread.map(({ database }) => database).join(', ')
    const evidence = databases.unread.map(({ database, because }): Evidence => ({
      database,
      from: 'opening it',
      fact: because,
    }))
    return [verdict({ ...parts, filling: { asked: id, reason: unreadable(names) }, evidence })]
  }
  const ofGroups = elsewhere.map(({ name, database }) =>
    verdict({
      ...parts,
      group: name,
      filling: {
        asked: id,
        reason: {
          en: `group ${name} consumes in a database that is not among those asked`,
          zh: `消费组 ${name} 所在的数据库不在查询之列`,
        },
      },
      evidence: [{ database: null, from: 'waybill_groups', fact: `${name} consumes in ${database}` }],
    }),
  )
  const isSilent = ofGroups.length === 0 && absent === 0 && landed.length === 0
  // A carrier at hand knows every group that is fed from it.
  if (!origin || !isSilent || carried.length > 0) return ofGroups
  return [
    verdict({
      ...parts,
      filling: {
        asked: id,
        reason: {
          en: 'it was sent, and no database that was asked has a group that takes its topic',
          zh: '消息已发出，但所查的数据库中没有订阅该主题的消费组',
        },
      },
      evidence: [publishedEvidence(origin), sentEvidence(origin)],
    }),
  ]
}

export function unreadable(names: string): Both {
  return { en: `${names} could not be read`, zh: `${names} 无法读取` }
}

function sentEvidence(origin: Copy): Evidence {
  const { relayed } = origin.message
  const fact = relayed
    ? `sent at ${timeOf(relayed.at)} by ${relayed.transport}, which answered ${relayed.proof}`
    : `passed by the relay's cursor`
  return { database: origin.database, from: 'waybill_relay_batches', fact }
}
