import { randomUUID } from 'node:crypto'
import { AppendFile } from './append-file.ts'
import type { MessageLog } from './message-log.ts'
import type { ReadAnswer, ReadRequest, StartPosition, SubscribeAnswer, SubscribeRequest } from './protocol.ts'

/** What happened: the log began, a group got its owner, a reader was created, or has settled more. */
type ReaderRecord =
  | { readonly source: string }
  | { readonly group: string; readonly owner: string }
  | { readonly reader: string; readonly topic: string; readonly start: number }
  | { readonly reader: string; readonly topic: string; readonly settled: number }

interface Reader {
  readonly start: number
  settled: number
  holder: string | undefined
  heldUntilMs: number
}

export interface ReadersOptions {
  readonly path: string
  readonly log: MessageLog
  readonly now: () => number
}

const messagesMax = 100

/** Who reads a topic in order and by position, one instance at a time. Beside the groups, which take messages out on leases. */
export class Readers {
  readonly #log: MessageLog
  readonly #now: () => number
  readonly #file: AppendFile<ReaderRecord>
  readonly #owners = new Map<string, string>()
  readonly #readers = new Map<string, Reader>()
  #source = ''

  private constructor({ log, now }: ReadersOptions, file: AppendFile<ReaderRecord>) {
    this.#log = log
    this.#now = now
    this.#file = file
  }

  static async open(options: ReadersOptions): Promise<Readers> {
    const { file, records } = await AppendFile.open<ReaderRecord>(options.path)
    const readers = new Readers(options, file)
    for (const record of records) readers.#replay(record)
    // A log that lost its files is another log: its positions begin anew, and must not be taken for those of the old one.
    if (readers.#source === '') await readers.#record([{ source: randomUUID() }])
    return readers
  }

  /** Creates what is new. Creates nothing if anything is in the way, and says what. */
  async subscribe({ reader, owner, topics }: SubscribeRequest): Promise<SubscribeAnswer> {
    const groups = [...new Set(topics.flatMap((topic) => topic.groups))]
    const taken = groups.find((group) => (this.#owners.get(group) ?? owner) !== owner)
    if (taken !== undefined) return { taken }
    const news = topics.filter(({ name }) => !this.#readers.has(nameOf(reader, name)))
    const unclear = news.find(({ name, from }) => from === undefined && this.#log.of(name).length > 0)
    if (unclear !== undefined) {
      const { name, groups: wanting } = unclear
      return { older: this.#log.of(name).length, topic: name, groups: wanting }
    }
    const owned = groups.filter((group) => !this.#owners.has(group)).map((group) => ({ group, owner }))
    const created = news.map(({ name, from }) => ({ reader, topic: name, start: this.#startOf(name, from) }))
    await this.#record([...owned, ...created])
    return {}
  }

  /**
   * The messages behind what is settled, in order; waits for them for half a lease. The older of both sides' positions counts.
   * Empty also where the caller should ask its database again first: it named another log, or had to wait for its turn.
   */
  async read(request: ReadRequest, gone: AbortSignal): Promise<ReadAnswer> {
    const { topic, instance, leaseMs, settledUpTo } = request
    const source = this.#source
    const reader = await this.#readerOf(request.reader, topic)
    if (request.source !== source) return { source, messages: [] }
    const deadlineMs = this.#now() + leaseMs / 2
    if (!this.#lend(reader, instance, leaseMs)) {
      await this.#turn(reader, deadlineMs, gone)
      return { source, messages: [] }
    }
    const after = Math.min(reader.settled, settledUpTo ?? reader.start)
    while (this.#log.of(topic).length <= after && this.#now() < deadlineMs && !gone.aborted)
      await this.#log.changeWithin(deadlineMs - this.#now(), gone)
    if (!gone.aborted) this.#lend(reader, instance, leaseMs)
    const messages = this.#log.of(topic).slice(after, after + messagesMax)
    return { source, messages: messages.map(({ body }, i) => ({ source, position: after + i + 1, body })) }
  }

  /** Whoever says so needs no lease: what has been settled stays settled. */
  async settle(name: string, topic: string, upTo: number): Promise<void> {
    const reader = this.#readers.get(nameOf(name, topic))
    if (reader !== undefined && reader.settled < upTo && upTo <= this.#log.of(topic).length)
      await this.#record([{ reader: name, topic, settled: upTo }])
  }

  /** Ends the leases of an instance that leaves, so that the next one need not wait until they lapse. */
  release(instance: string): void {
    for (const reader of this.#readers.values()) if (reader.holder === instance) reader.holder = undefined
    this.#log.wake()
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** One that is not known reads from the oldest message on: it subscribed to a log whose files were lost since. */
  async #readerOf(name: string, topic: string): Promise<Reader> {
    if (!this.#readers.has(nameOf(name, topic))) await this.#record([{ reader: name, topic, start: 0 }])
    return this.#readers.get(nameOf(name, topic))!
  }

  #startOf(topic: string, from: StartPosition | undefined): number {
    const messages = this.#log.of(topic)
    if (from === undefined || from === 'oldest') return 0
    const first = from === 'now' ? -1 : messages.findIndex(({ storedAtMs }) => storedAtMs >= Date.parse(from))
    return first < 0 ? messages.length : first
  }

  #lend(reader: Reader, instance: string, leaseMs: number): boolean {
    if (reader.holder !== instance && this.#isHeld(reader)) return false
    reader.holder = instance
    reader.heldUntilMs = this.#now() + leaseMs
    return true
  }

  async #turn(reader: Reader, deadlineMs: number, gone: AbortSignal): Promise<void> {
    while (this.#isHeld(reader) && this.#now() < deadlineMs && !gone.aborted)
      await this.#log.changeWithin(Math.min(deadlineMs, reader.heldUntilMs) - this.#now(), gone)
  }

  #isHeld(reader: Reader): boolean {
    return reader.holder !== undefined && reader.heldUntilMs > this.#now()
  }

  /** In memory at once, so that nobody who comes meanwhile decides otherwise; answered when it is on disk. */
  async #record(records: readonly ReaderRecord[]): Promise<void> {
    for (const record of records) this.#replay(record)
    await this.#file.append(records)
  }

  #replay(record: ReaderRecord): void {
    if ('source' in record) this.#source = record.source
    else if ('owner' in record) this.#owners.set(record.group, record.owner)
    else if ('start' in record) {
      const { reader, topic, start } = record
      this.#readers.set(nameOf(reader, topic), { start, settled: start, holder: undefined, heldUntilMs: 0 })
    } else {
      const reader = this.#readers.get(nameOf(record.reader, record.topic))
      if (reader !== undefined) reader.settled = Math.max(reader.settled, record.settled)
    }
  }
}

function nameOf(reader: string, topic: string): string {
  return `${reader} ${topic}`
}
