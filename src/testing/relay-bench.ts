import { DatabaseSync } from 'node:sqlite'
import type { OpenDatabase } from '../core/database.ts'
import type { HeldQueue } from '../core/log-reading.ts'
import type { PublishedEnvelope } from '../core/message.ts'
import type { CrashPoint } from '../core/ports.ts'
import type { Lease, Store, TopicDeclaration } from '../core/store.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import { Outlooks } from '../log/outlooks.ts'
import { Relay, relayReader } from '../relay/relay.ts'
import { type Breakable, breakable } from './breakable-database.ts'
import { type TestPorts, testPorts } from './ports.ts'
import { ScriptedCarrier } from './scripted-carrier.ts'
import { systemClock } from '../system.ts'
import { temporaryFolder } from './temporary-folder.ts'

export const paid: TopicDeclaration = { name: 'order.paid', queues: 1 }
export const leaseMs = 10_000

/** A relay between a real SQLite log and a scripted carrier, on a clock that stands still. */
export class RelayBench {
  readonly ports: TestPorts
  readonly faults: Breakable
  readonly database: OpenDatabase<SqliteTx>
  readonly carrier = new ScriptedCarrier()
  readonly relay: Relay
  /** Throws where a crash is wanted. */
  reached: (point: CrashPoint) => void = () => {}
  readonly #folder = temporaryFolder()

  constructor() {
    this.ports = testPorts({ reached: (point) => this.reached(point) })
    const over = breakable(sqlite(this.#folder.file('order.db')))
    this.faults = over
    this.database = over.open(this.ports, { service: 'order', migrate: 'auto' })
    this.relay = new Relay({
      store: this.database.store as never,
      transport: this.carrier,
      transportName: 'scripted',
      ports: this.ports,
    })
  }

  async dispose(): Promise<void> {
    await this.database.close()
    this.#folder.remove()
  }

  get store(): OpenDatabase<SqliteTx>['store'] {
    return this.database.store
  }

  draft(fields: Partial<PublishedEnvelope> = {}): PublishedEnvelope {
    const body = fields.body ?? '{}'
    const now = this.ports.clock.now()
    return {
      id: this.ports.ids.message(),
      service: 'order',
      topic: paid.name,
      tag: null,
      key: null,
      shardingKey: null,
      headers: {},
      body,
      bodyHash: this.ports.digest(body),
      publishedAt: now,
      eligibleAt: now,
      dedupKey: null,
      ...fields,
    }
  }

  /** Publishes in one transaction. Answers the ids. */
  async publish(
    count: number,
    fields: (n: number) => Partial<PublishedEnvelope> = () => ({}),
    topic: TopicDeclaration = paid,
  ): Promise<string[]> {
    const messages = Array.from({ length: count }, (_, n) => this.draft({ topic: topic.name, ...fields(n) }))
    await this.database.transaction({
      work: (tx) => {
        this.store.append(tx, messages, [topic])
      },
    })
    return messages.map(({ id }) => id)
  }

  /** Lands messages of other services, as the lander does. */
  async land(count: number): Promise<void> {
    const messages = Array.from({ length: count }, () => {
      const { dedupKey: _, ...envelope } = this.draft()
      return { ...envelope, from: { source: 'database:elsewhere', queue: 0, position: 1 } }
    })
    await this.store.land({ messages, topics: [paid], upTo: [] })
  }

  /** The leases of all queues, for a new owner. */
  async leases(): Promise<readonly Lease[]> {
    const { version, runningMax } = this.relay
    const queues = await this.relay.queues()
    const membership = { reader: relayReader, version, runningMax, queues }
    const [share] = await this.store.share(this.ports.ids.owner(), [membership], leaseMs)
    return share!.leases
  }

  /** A lease that its owner thinks it has: it lapsed, and another owner took over. */
  async staleLease(lease?: Lease): Promise<Lease> {
    const stale = lease ?? (await this.leases())[0]
    await this.ports.clock.advance(leaseMs + 1)
    const [current] = await this.leases()
    if (!(current!.fence > stale!.fence)) throw new Error('the queue was not taken over')
    return stale!
  }

  /** Serves a queue until nothing is left. What fails is thrown, as the queue's server would see it. */
  async serve(lease: Lease): Promise<void> {
    await this.relay.serve(
      heldQueue(this.store, { ...lease, position: await this.cursor(lease.topic, lease.queue) }),
    )
  }

  /** Serves it again after each failure, from the position that it had reached, as the queue's server does. */
  async serveThrough(lease: Lease, failuresMax: number): Promise<void> {
    const queue = heldQueue(this.store, lease)
    for (let failures = 0; ; failures++) {
      try {
        return await this.relay.serve(queue)
      } catch (error) {
        if (failures === failuresMax) throw error
      }
    }
  }

  async cursor(topic: string = paid.name, queue = 0): Promise<number> {
    const lag = await this.store.lag()
    const own = lag.find((one) => one.reader === relayReader && one.topic === topic && one.queue === queue)
    return own!.position
  }

  rows(sql: string): Record<string, unknown>[] {
    return rowsOf(this.#folder.file('order.db'), sql)
  }
}

/** Rows of a database file, read from outside. */
export function rowsOf(path: string, sql: string): Record<string, unknown>[] {
  const handle = new DatabaseSync(path, { readOnly: true })
  try {
    return handle
      .prepare(sql)
      .all()
      .map((row) => ({ ...row }))
  } finally {
    handle.close()
  }
}

/** A queue that drains as soon as there is nothing to do. */
export function heldQueue(store: Pick<Store<never>, 'outlook'>, lease: Lease): HeldQueue & { drain(): void } {
  const draining = new AbortController()
  return {
    lease,
    position: lease.position,
    draining: draining.signal,
    lost: new AbortController().signal,
    mark: () => 0,
    outlook: () => new Outlooks(store as Store<never>, lease.owner, systemClock).of(lease),
    breathe: async () => {},
    idle: async () => draining.abort(),
    drain: () => draining.abort(),
  }
}
