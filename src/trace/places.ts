import type { GroupFacts, MessageFacts, ReaderFacts, StoreFacts } from '../core/facts.ts'
import type { MessageId } from '../core/ids.ts'

/** One database that could be read, with what it knows. */
export interface KnownDatabase {
  readonly database: string
  readonly facts: StoreFacts
}

/** One database that could not: it is *no data*, and never *not seen*. */
export interface UnreadDatabase {
  readonly database: string
  readonly because: string
}

export interface Databases {
  readonly known: readonly KnownDatabase[]
  readonly unread: readonly UnreadDatabase[]
}

/** A message where it lies. */
export interface Copy extends KnownDatabase {
  readonly message: MessageFacts
}

/** Where one message lies, by the parts that the databases play in its journey. */
export interface Places {
  readonly id: MessageId
  readonly databases: Databases
  /** Where it was published; undefined where that database is not among those asked. */
  readonly origin: Copy | undefined
  /** In databases that carry it on. */
  readonly carried: readonly Copy[]
  readonly landed: readonly Copy[]
  /** Databases other than its origin whose groups subscribe to its topic, with or without it. */
  readonly subscribers: readonly KnownDatabase[]
  /** Groups that consume in a database that nobody named. Which topics they take is not known here. */
  readonly elsewhere: readonly GroupFacts[]
}

/** Brings together what several databases know of the same messages, newest first. */
export function placesOf(databases: Databases): readonly Places[] {
  const newest = new Map<MessageId, number>()
  for (const { facts } of databases.known)
    for (const { id, publishedAt } of facts.messages) newest.set(id, publishedAt)
  return [...newest]
    .toSorted(([a, atA], [b, atB]) => atB - atA || (a < b ? 1 : -1))
    .map(([id]) => placesOfOne(id, databases))
}

function placesOfOne(id: MessageId, databases: Databases): Places {
  const copies = databases.known.flatMap(({ database, facts }) =>
    facts.messages.filter((message) => message.id === id).map((message) => ({ database, facts, message })),
  )
  const origin = copies.find(({ message }) => message.source === null)
  const others = copies.filter(({ message }) => message.source !== null)
  const isCarrier = (copy: Copy): boolean =>
    landReadersOf(copy).length > 0 || copy.facts.epoch === carrierEpoch(origin)
  const { topic } = copies[0]!.message
  const carried = others.filter(isCarrier)
  return {
    id,
    databases,
    origin,
    carried,
    landed: others.filter((copy) => !isCarrier(copy)),
    subscribers: databases.known.filter(
      ({ database, facts }) => database !== origin?.database && groupsOn(facts, topic).length > 0,
    ),
    elsewhere: carried.some((copy) => isFetchedByKnown(copy, databases)) ? [] : groupsElsewhere(databases),
  }
}

/** Groups that the databases know of and that consume in none of them. */
function groupsElsewhere({ known }: Databases): readonly GroupFacts[] {
  const epochs = new Set(known.map(({ facts }) => facts.epoch))
  const elsewhere = known.flatMap(({ facts }) => facts.groups).filter((group) => !epochs.has(group.database))
  return [...new Map(elsewhere.map((group) => [group.name, group])).values()]
}

/** Whether as many of the databases have landed this topic from here as there are services that fetch it: then no other does. */
function isFetchedByKnown(copy: Copy, { known }: Databases): boolean {
  const source = `database:${copy.facts.epoch}`
  const { topic } = copy.message
  const fetching = known.filter(({ facts }) =>
    facts.landed.some((landed) => landed.source === source && landed.topic === topic),
  )
  const services = landReadersOf(copy).length
  return services > 0 && services <= fetching.length
}

/** Groups that consume this topic in this very database. */
export function groupsOn(facts: StoreFacts, topic: string): readonly GroupFacts[] {
  return facts.groups.filter((group) => group.database === facts.epoch && group.topics.includes(topic))
}

export function readerOf({ facts, message }: Copy, name: string): ReaderFacts | undefined {
  return readersOn(facts, message).find(({ reader }) => reader === name)
}

/** Services that fetch it from here. */
export function landReadersOf({ facts, message }: Copy): readonly ReaderFacts[] {
  return readersOn(facts, message).filter(({ reader }) => reader.startsWith('@land:'))
}

function readersOn(facts: StoreFacts, { topic, queue }: MessageFacts): readonly ReaderFacts[] {
  return facts.readers.filter((reader) => reader.topic === topic && reader.queue === queue)
}

/** The database that the relay's proof names, if the carrier is one. */
export function carrierEpoch(origin: Copy | undefined): string | undefined {
  return origin?.message.relayed?.proof.match(/^database:(.+)$/)?.[1]
}

/** Whether the reader's holder is alive. */
export function isServed(
  reader: ReaderFacts | undefined,
  now: number,
): reader is ReaderFacts & { owner: string } {
  return reader !== undefined && reader.owner !== null && reader.leaseUntil > now
}

/** Whether it has left its origin: passed by the relay's cursor, and not refused. Undefined where nothing is relayed. */
export function isSent(origin: Copy): boolean | undefined {
  const { place } = origin.message
  if (!origin.facts.relays || (place !== 'log' && place !== 'copy')) return undefined
  const relay = readerOf(origin, '@relay')
  // The relay has not come to this topic since it is there.
  if (!relay) return false
  const own = origin.message.groups.find(({ group }) => group === '@relay')
  return relay.position >= origin.message.position && (own === undefined || own.state === 'done')
}

/** When it was sent, by its batch or, after a redrive, by its disposition. */
export function sentAt({ message }: Copy): number | null {
  return message.relayed?.at ?? message.groups.find(({ group }) => group === '@relay')?.at ?? null
}

/** Whether this database may have dropped it: then its absence says nothing. */
export function mayHaveDropped(facts: StoreFacts, publishedAt: number): boolean {
  return facts.keptSince !== null && publishedAt < facts.keptSince
}
