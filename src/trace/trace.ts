import type { Asked, StoreFacts } from '../core/facts.ts'
import { type MessageId, isMessageId } from '../core/ids.ts'
import { atGroups } from './group-verdict.ts'
import { type Journey, journeyOf } from './journey.ts'
import { atLanding, unreadable } from './landing-verdict.ts'
import { beforeTheLog, beforeTheTransport, neverRelayed } from './origin-verdict.ts'
import { type Databases, type Places, groupsOn, isSent, placesOf } from './places.ts'
import { timeOf } from './reasons.ts'
import { type Named, ask } from './sources.ts'
import { type Evidence, type Verdict, verdict } from './verdict.ts'

/** A database that can be asked: a `Waybill`, or anything that answers what it knows of a message. */
export interface FactSource {
  facts(asked: Asked): Promise<StoreFacts>
}

/** Where messages are, as far as the databases that were asked can tell. */
export interface Trace {
  readonly asked: string
  readonly databases: readonly TracedDatabase[]
  /** Newest first. */
  readonly journeys: readonly Journey[]
  /** In the order of the journeys: of each message what stopped it, or one for each group. */
  readonly verdicts: readonly Verdict[]
  /** Whether more messages have the key than are told about: the newest 100. */
  readonly more: boolean
}

export interface TracedDatabase {
  readonly database: string
  /** Why it could not be read; null where it could. */
  readonly noData: string | null
  /** What was published before this need not be here any more. */
  readonly keptSince: number | null
}

export interface TraceOptions {
  /** Only this group. One that does not take the message is `no-such-group`. */
  readonly group?: string
}

/**
 * Where a message is, which link it stopped at, and what to do. Asks all the databases at once; one that cannot answer is *no data*,
 * and the others' answers stand.
 * @param asked a business key, or a message's id
 */
export async function trace(
  sources: Named<FactSource>,
  asked: string,
  options: TraceOptions = {},
): Promise<Trace> {
  const databases = await factsOf(sources, asked)
  const places = placesOf(databases)
  const verdicts =
    places.length === 0
      ? [verdictOfNothing(asked, databases)]
      : places.flatMap((one) => verdictsOf(one, options.group))
  const known = databases.known.map(({ database, facts }) => ({
    database,
    noData: null,
    keptSince: facts.keptSince,
  }))
  const unread = databases.unread.map(({ database, because }) => ({
    database,
    noData: because,
    keptSince: null,
  }))
  return {
    asked,
    databases: [...known, ...unread],
    journeys: places.map(journeyOf),
    verdicts,
    more: databases.known.some(({ facts }) => facts.more),
  }
}

/** By id where it looks like one, and by key where nothing has that id: a business key may look like anything. */
async function factsOf(sources: Named<FactSource>, asked: string): Promise<Databases> {
  const byKey = (): Promise<Databases> => factsOnce(sources, { key: asked })
  if (!isMessageId(asked)) return byKey()
  const byId = await factsOnce(sources, { id: asked })
  if (byId.known.some(({ facts }) => facts.messages.length > 0)) return byId
  const keyed = await byKey()
  return keyed.known.some(({ facts }) => facts.messages.length > 0) ? keyed : byId
}

async function factsOnce(sources: Named<FactSource>, asked: Asked): Promise<Databases> {
  const answers = await ask(sources, (source) => source.facts(asked))
  return {
    known: answers.flatMap(({ database, value }) => (value ? [{ database, facts: value }] : [])),
    unread: answers.flatMap((answer) =>
      answer.value ? [] : [{ database: answer.database, because: answer.because }],
    ),
  }
}

/** Rules in the order of the links; a group in the publisher's own database has its answer beside what the relay says. */
function verdictsOf(places: Places, group: string | undefined): readonly Verdict[] {
  const { origin, landed } = places
  const early = origin && beforeTheLog(origin)
  if (early) return [early]
  const stuck = origin && (beforeTheTransport(origin) ?? neverRelayed(places, origin))
  const copies = [...(origin ? [origin] : []), ...landed]
  const suppressed = [...copies, ...places.carried].flatMap(({ message }) => message.suppressed)
  const all = [
    ...copies.flatMap((copy) => atGroups(copy, suppressed)),
    ...(stuck ? [stuck] : []),
    ...atLanding(places),
  ]
  if (group === undefined) return all.length > 0 ? all : [noSuchGroup(places, '*')]
  const own = all.filter((one) => one.group === group)
  if (own.length > 0) return own
  // What stopped it before any group, or what could not be read, is the answer for every group that may take it.
  const general = all.filter((one) => one.group === null || one.group === '@relay')
  return general.length > 0 && mayTake(places, group) ? general : [noSuchGroup(places, group)]
}

function mayTake(places: Places, group: string): boolean {
  const { origin, subscribers, databases, elsewhere } = places
  const leaves =
    origin === undefined || isSent(origin) !== undefined || neverRelayed(places, origin) !== undefined
  const isSubscribed = subscribers.some(({ facts }) => facts.groups.some(({ name }) => name === group))
  const isUnknown = databases.unread.length > 0 || elsewhere.some(({ name }) => name === group)
  return leaves && (isSubscribed || isUnknown)
}

function noSuchGroup(places: Places, group: string): Verdict {
  const { topic } = (places.origin ?? places.landed[0] ?? places.carried[0]!).message
  const groups = places.databases.known.flatMap(({ facts }) => groupsOn(facts, topic).map(({ name }) => name))
  const evidence = places.databases.known.map(({ database, facts }): Evidence => ({
    database,
    from: 'waybill_groups',
    fact: `on ${topic}: ${
      groupsOn(facts, topic)
        .map(({ name }) => name)
        .join(', ') || 'none'
    }`,
  }))
  return verdict({
    code: 'no-such-group',
    stoppedAt: 'handled',
    id: places.id,
    group,
    filling: { topic, groups: groups.join(', ') || { en: 'none', zh: '无' } },
    evidence,
  })
}

/** Only within what is kept, and of databases that were read, can silence mean that nothing was ever published (P31). */
function verdictOfNothing(asked: string, { known, unread }: Databases): Verdict {
  const parts = { stoppedAt: 'published', id: null } as const
  if (unread.length > 0) {
    const names = unread.map(({ database }) => database).join(', ')
    return verdict({
      ...parts,
      code: 'no-data',
      filling: { asked, reason: unreadable(names) },
      evidence: unread.map(({ database, because }) => ({ database, from: 'opening it', fact: because })),
    })
  }
  const evidence = known.map(({ database, facts: { keptSince } }): Evidence => {
    const since = keptSince === null ? '' : `, and nothing before ${timeOf(keptSince)} need be kept`
    const from = 'waybill_messages, waybill_delayed, waybill_halves, waybill_ended, waybill_copies'
    return { database, from, fact: `no row${since}` }
  })
  if (!areOthersAsked(known)) {
    const reason = {
      en: 'it may be on its way from another service, and the database of none was asked',
      zh: '它可能正从其他服务发来，而所查的数据库中没有其他服务的数据库',
    }
    return verdict({ ...parts, code: 'no-data', filling: { asked, reason }, evidence })
  }
  const keptSince = Math.max(0, ...known.map(({ facts }) => facts.keptSince ?? 0))
  const isKept = keptSince === 0 || (madeAt(asked) ?? 0) >= keptSince
  return isKept
    ? verdict({ ...parts, code: 'never-published', filling: { asked }, evidence })
    : verdict({ ...parts, code: 'no-data-before', filling: { asked, date: timeOf(keptSince) }, evidence })
}

/** Where messages come in from other services, only their databases know that none is on its way. */
function areOthersAsked(known: Databases['known']): boolean {
  const consumes = ({ epoch, groups }: StoreFacts): boolean =>
    groups.some(({ database }) => database === epoch)
  const isFed = known.some(
    ({ facts }) => facts.landed.length > 0 || (facts.relays ? consumes(facts) : isCarrier(facts)),
  )
  return !isFed || known.filter(({ facts }) => facts.relays || consumes(facts)).length > 1
}

function isCarrier({ epoch, groups }: StoreFacts): boolean {
  return groups.some(({ database }) => database !== epoch)
}

/** An id that Waybill gave says when: the first 48 bits of a UUIDv7 are milliseconds. */
function madeAt(asked: string): number | undefined {
  const isVersion7 = isMessageId(asked) && asked[14] === '7'
  return isVersion7 ? Number.parseInt((asked as MessageId).replaceAll('-', '').slice(0, 12), 16) : undefined
}
