import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { HttpError } from '../shared/http.ts'
import { AppendFile } from './append-file.ts'
import { Group } from './group.ts'
import { MessageLog } from './message-log.ts'
import type { Delivery, Health, NewMessage, ReceiveRequest, StoredMessage } from './protocol.ts'
import { Readers } from './readers.ts'

/** What happened to groups: they subscribed, or they acknowledged. */
type GroupRecord =
  | { readonly group: string; readonly topics: readonly string[] }
  | { readonly group: string; readonly acknowledged: readonly number[] }

export interface BrokerStoreOptions {
  readonly folder: string
  readonly leaseMs: number
  readonly now?: () => number
}

/** The broker without its HTTP: append-only files, and in memory what follows from them. */
export class BrokerStore {
  readonly readers: Readers
  readonly #leaseMs: number
  readonly #now: () => number
  readonly #messagesFile: AppendFile<StoredMessage>
  readonly #groupsFile: AppendFile<GroupRecord>
  readonly #groups = new Map<string, Group>()
  readonly #log: MessageLog
  #offset: number

  private constructor(
    options: Required<BrokerStoreOptions>,
    messagesFile: AppendFile<StoredMessage>,
    log: MessageLog,
    groupsFile: AppendFile<GroupRecord>,
    readers: Readers,
  ) {
    this.#leaseMs = options.leaseMs
    this.#now = options.now
    this.#messagesFile = messagesFile
    this.#log = log
    this.#offset = log.all.length
    this.#groupsFile = groupsFile
    this.readers = readers
  }

  static async open({ folder, leaseMs, now = Date.now }: BrokerStoreOptions): Promise<BrokerStore> {
    const messages = await AppendFile.open<StoredMessage>(join(folder, 'broker-messages.jsonl'))
    const groups = await AppendFile.open<GroupRecord>(join(folder, 'broker-groups.jsonl'))
    const log = new MessageLog(messages.records)
    const readers = await Readers.open({ path: join(folder, 'broker-readers.jsonl'), log, now })
    const store = new BrokerStore({ folder, leaseMs, now }, messages.file, log, groups.file, readers)
    for (const record of groups.records) store.#replay(record)
    return store
  }

  async publish(messages: readonly NewMessage[]): Promise<string[]> {
    const storedAtMs = this.#now()
    const stored = messages.map((message) => ({
      ...message,
      id: randomUUID(),
      offset: this.#offset++,
      storedAtMs,
    }))
    // Appends end in the order of the calls, so the log stays dense although publishes overlap.
    await this.#messagesFile.append(stored)
    this.#log.add(stored)
    return stored.map(({ id }) => id)
  }

  /** Waits up to `waitMs` for something to deliver. A caller that hung up gets no lease that it would never use. */
  async receive(request: ReceiveRequest, gone: AbortSignal): Promise<Delivery[]> {
    const group = await this.#subscribed(request)
    const deadlineMs = this.#now() + request.waitMs
    for (;;) {
      if (gone.aborted) return []
      const deliveries = group.take(this.#log.all, request.max, this.#now(), this.#leaseMs)
      const leftMs = Math.min(deadlineMs, group.nextExpiryMs()) - this.#now()
      if (deliveries.length > 0 || this.#now() >= deadlineMs) return deliveries
      await this.#log.changeWithin(leftMs, gone)
    }
  }

  async acknowledge(name: string, offsets: readonly number[]): Promise<number> {
    const group = this.#groups.get(name)
    if (group === undefined)
      throw new HttpError(404, 'broker.group-unknown', `nobody received as "${name}" yet`)
    const unknown = offsets.find((offset) => offset >= this.#log.all.length)
    if (unknown !== undefined)
      throw new HttpError(404, 'broker.delivery-unknown', `nothing is at offset ${unknown}`)
    const news = offsets.filter((offset) => !group.hasAcknowledged(offset))
    if (news.length > 0) await this.#groupsFile.append([{ group: name, acknowledged: news }])
    for (const offset of news) group.acknowledge(offset)
    return news.length
  }

  pendingKeys(name: string): string[] {
    const pending = this.#groups.get(name)?.pending(this.#log.all) ?? []
    return pending.map((message) => message.key ?? message.id)
  }

  health(): Health {
    const groups = [...this.#groups].map(
      ([name, group]) => [name, group.health(this.#log.all, this.#now())] as const,
    )
    return { ok: true, published: this.#log.all.length, groups: Object.fromEntries(groups) }
  }

  async close(): Promise<void> {
    await this.#messagesFile.close()
    await this.#groupsFile.close()
    await this.readers.close()
  }

  async #subscribed({ group: name, topics }: ReceiveRequest): Promise<Group> {
    const group = this.#groups.get(name)
    const isSame =
      group !== undefined && topics.length === group.topics.size && topics.every((t) => group.topics.has(t))
    if (isSame) return group
    await this.#groupsFile.append([{ group: name, topics }])
    return this.#subscribe(name, topics)
  }

  #subscribe(name: string, topics: readonly string[]): Group {
    const group = this.#groups.get(name) ?? new Group(topics)
    group.subscribe(topics)
    this.#groups.set(name, group)
    return group
  }

  #replay(record: GroupRecord): void {
    if ('topics' in record) this.#subscribe(record.group, record.topics)
    else for (const offset of record.acknowledged) this.#groups.get(record.group)?.acknowledge(offset)
  }
}
