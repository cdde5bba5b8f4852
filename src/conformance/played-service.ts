import { type RecordedPosition, landingGap } from '../core/epochs.ts'
import type { SettledPosition } from '../core/message.ts'
import type { StartPosition, TopicDeclaration } from '../core/store.ts'
import type { IncomingBatch, OpenTransport } from '../core/transport.ts'
import type { TransportSubject } from './transport-subject.ts'

/** What a played service needs of its bench. */
export interface Stage {
  readonly subject: TransportSubject
  open(service: string): Promise<OpenTransport>
  close(connection: OpenTransport): Promise<void>
  /** A promise that must settle before patience is lost. */
  within<R>(what: string, promise: Promise<R>): Promise<R>
  /** Something has happened: whoever waits should look. */
  changed(): void
}

export type Incoming = IncomingBatch['messages'][number]

/** What an instance does in place of landing. A throw is a landing that failed. */
export type Land = (batch: IncomingBatch, record: () => void) => void | Promise<void>

export interface Wanted {
  readonly topics: readonly TopicDeclaration[]
  readonly from?: StartPosition | undefined
  readonly groups?: readonly string[]
}

/**
 * A consuming service, its database played by two lists: what has landed, and up to which positions. Both outlive its instances;
 * `copy` and `restore` do to them what a backup does to a database.
 */
export class PlayedService {
  readonly name: string
  databaseId: string
  readonly #stage: Stage
  readonly #instances = new Set<Instance>()
  #landed: Incoming[] = []
  #positions = new Map<string, RecordedPosition>()

  constructor(stage: Stage, name: string) {
    this.#stage = stage
    this.name = name
    this.databaseId = stage.subject.ports.ids.epoch()
  }

  /** Every message in the order in which it landed; those that came again are there again. */
  get landed(): readonly Incoming[] {
    return this.#landed
  }

  /** The ids in the order in which each landed for the first time: what a log that suppresses duplicates holds. */
  get log(): readonly string[] {
    return [...new Set(this.#landed.map(({ id }) => id as string))]
  }

  missing(ids: readonly string[]): readonly string[] {
    const here = new Set(this.log)
    return ids.filter((id) => !here.has(id))
  }

  copy(): {
    readonly landed: readonly Incoming[]
    readonly positions: ReadonlyMap<string, RecordedPosition>
  } {
    return { landed: [...this.#landed], positions: new Map(this.#positions) }
  }

  restore({ landed, positions }: ReturnType<PlayedService['copy']>): void {
    this.#landed = [...landed]
    this.#positions = new Map(positions)
  }

  /** Up to where a queue has landed, whatever the instance that asks. */
  landedUpTo(source: string, topic: string, queue: number): RecordedPosition | undefined {
    return this.#positions.get(nameOf(source, topic, queue))
  }

  /** Sets every recorded position, as if another life of this database had landed more than it shows. */
  pretendLandedUpTo(position: number): void {
    for (const [name, { epoch }] of this.#positions) this.#positions.set(name, { position, epoch })
  }

  /** A connection that is subscribed and does not receive yet. */
  async connect(wanted: Wanted): Promise<Instance> {
    const transport = await this.#stage.open(this.name)
    const instance = new Instance(this.#stage, this, transport)
    this.#instances.add(instance)
    await instance.subscribe(wanted)
    return instance
  }

  /** An instance that receives. From the oldest message unless said otherwise. */
  async start(wanted: Wanted, land?: Land): Promise<Instance> {
    const instance = await this.connect({ from: 'oldest', ...wanted })
    instance.receive(land)
    return instance
  }

  /** Called by an instance, in its `land`: commits the batch together with its positions. */
  record(batch: IncomingBatch): void {
    const positions = new Map(this.#positions)
    for (const at of batch.upTo) {
      const name = nameOf(at.source, at.topic, at.queue)
      positions.set(name, moved(positions.get(name), at))
    }
    this.#positions = positions
    this.#landed.push(...batch.messages)
    this.#stage.changed()
  }

  async clearAway(): Promise<void> {
    for (const instance of this.#instances) await instance.clearAway()
  }
}

/** One process of a service. */
export class Instance {
  readonly transport: OpenTransport
  /** How many batches that hold messages are being landed now. */
  landing = 0
  readonly #stage: Stage
  readonly #service: PlayedService
  #stopping = new AbortController()
  #receiving: Promise<void> = Promise.resolve()
  #gone = false
  #letGo = (): void => {}
  /** What a landing waits for that must never finish: the process is gone meanwhile. */
  readonly never = new Promise<void>((resolve) => {
    this.#letGo = resolve
  })

  constructor(stage: Stage, service: PlayedService, transport: OpenTransport) {
    this.#stage = stage
    this.#service = service
    this.transport = transport
  }

  subscribe({ topics, from, groups = [`${this.#service.name}.group`] }: Wanted): Promise<void> {
    return this.transport.subscribe({
      databaseId: this.#service.databaseId,
      topics: topics.map((topic) => ({ ...topic, from, groups })),
      landedUpTo: async (source, topic, queue) => this.#service.landedUpTo(source, topic, queue),
    })
  }

  /** Receives until `stop`, and again if it fails, as the lander does. */
  receive(land: Land = (_, record) => record()): void {
    const { signal } = (this.#stopping = new AbortController())
    this.#receiving = this.#receive(land, signal)
    this.#receiving.catch(() => {})
  }

  /** Ends receiving, as a clean stop does: what is being landed finishes and is acknowledged. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#stage.within('receive ends after its signal was aborted', this.#receiving)
  }

  /** Stops and closes. */
  async leave(): Promise<void> {
    await this.stop()
    await this.#stage.within('a connection closes', this.#stage.close(this.transport))
  }

  /** Is gone from one moment to the next: nothing is acknowledged any more. */
  async vanish(): Promise<void> {
    this.#gone = true
    const { subject } = this.#stage
    if (subject.vanish) await subject.vanish(this.transport)
    else await this.#stage.close(this.transport)
  }

  async clearAway(): Promise<void> {
    this.#letGo()
    this.#stopping.abort()
    // One that vanished may fail as it likes, or never end.
    await this.#stage.within('receive ends', this.#receiving).catch(() => {})
  }

  async #receive(land: Land, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#gone) {
      try {
        await this.transport.receive((batch) => this.#land(batch, land), signal)
      } catch {
        await turn()
        continue
      }
      if (!signal.aborted && !this.#gone) throw new Error('receive ended before its signal was aborted')
    }
  }

  async #land(batch: IncomingBatch, land: Land): Promise<void> {
    const isWorth = batch.messages.length > 0 ? 1 : 0
    this.landing += isWorth
    this.#stage.changed()
    try {
      await land(batch, () => this.#service.record(batch))
    } finally {
      this.landing -= isWorth
      this.#stage.changed()
    }
  }
}

/** As a store does it: see `SettledPosition`. */
function moved(recorded: RecordedPosition | undefined, at: SettledPosition): RecordedPosition {
  const { position, epoch = null, after } = at
  if (epoch !== null && after === undefined) return { position, epoch }
  const isContinued = recorded?.epoch === epoch && recorded.position >= (after ?? -Infinity)
  if (epoch !== null && !isContinued) throw landingGap(at)
  return { position: isContinued ? Math.max(recorded.position, position) : position, epoch }
}

function nameOf(source: string, topic: string, queue: number): string {
  return `${source} ${topic}/${queue}`
}

/** Ends the turn, and lets everything that is settled be handled. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
