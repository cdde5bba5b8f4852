import { Consumers } from './consume/consumers.ts'
import { contextMaker } from './consume/context.ts'
import type { BatchHandler, Handler } from './consume/handler.ts'
import { GroupReader } from './consume/group-reader.ts'
import { HandlerGate } from './consume/handler-gate.ts'
import {
  type BatchConsumeOptions,
  type ConsumeOptions,
  settingsOf as consumeSettingsOf,
} from './consume/options.ts'
import { type Subscription, subscriptionOf } from './consume/subscription.ts'
import type { Database, OpenDatabase } from './core/database.ts'
import type { StoredSubscription } from './core/groups.ts'
import type { ListedDependency } from './core/dependencies.ts'
import { WaybillError } from './core/errors.ts'
import type { BookStore } from './core/books.ts'
import type { Asked, StoreFacts } from './core/facts.ts'
import type { Decision } from './core/half.ts'
import type { MessageId } from './core/ids.ts'
import type { QueueReaders } from './core/log-reading.ts'
import { type Answer, type MaybePromise, chain } from './core/maybe-promise.ts'
import type { NewMessage } from './core/message.ts'
import type { Ports } from './core/ports.ts'
import type { Found, QueueLag, SearchQuery, Store } from './core/store.ts'
import type { Addressed, Topic } from './core/topic.ts'
import type { OpenTransport } from './core/transport.ts'
import { type Health, HealthWatch } from './observe/health.ts'
import { Lander } from './land/lander.ts'
import { logReading } from './log/queue-readers.ts'
import { startUpkeep } from './log/upkeep.ts'
import { type WaybillOptions, type WaybillSettings, settingsOf } from './options.ts'
import { Publisher, withIdsIfUnknown } from './publish/publisher.ts'
import { CheckBacks } from './publish/check-backs.ts'
import type { ComposeOptions } from './publish/compose.ts'
import { HalfMessages, type HalfResult, type HalfWork } from './publish/half-messages.ts'
import { DeadLetters } from './recover/dead-letters.ts'
import { DependencyWatch } from './recover/dependency-watch.ts'
import { Groups } from './recover/groups.ts'
import { Halves } from './recover/halves.ts'
import { RedriveRunner } from './recover/redrive-runner.ts'
import { Redrives } from './recover/redrives.ts'
import { DueMover } from './relay/due-mover.ts'
import { Relay, relayReader } from './relay/relay.ts'
import { systemPorts } from './system.ts'
import { type Ledger, type LedgerOptions, ledger } from './trace/ledger.ts'
import { type Trace, type TraceOptions, trace } from './trace/trace.ts'
import { Counters } from './observe/counters.ts'

const stopWithinMsDefault = 10_000

type Ending = (withinMs: number) => void | Promise<void>

/** What `consume` answers: the group's name, to look it up by. */
export interface Consumer {
  readonly group: string
  readonly topic: string
}

/**
 * One instance of one service: publishes into its database's log, relays to the transport, lands what the transport brings, and
 * consumes. The one place where the parts are wired together.
 */
export class Waybill<Tx, Mode extends 'sync' | 'async'> {
  readonly service: string
  /** What failed for good: list, redrive, discard. */
  readonly deadLetters: DeadLetters
  /** Half messages that nobody has decided: list them, decide them. */
  readonly halves: Halves
  /** Many dead letters delivered again at a rate: start, watch, pause, cancel. */
  readonly redrives: Redrives
  /** Consumer groups: list, hold, let go on, remove. */
  readonly groups: Groups
  readonly #options: WaybillOptions<Tx, Mode>
  readonly #settings: WaybillSettings
  readonly #ports: Ports
  readonly #counters = new Counters()
  readonly #health: HealthWatch
  readonly #database: OpenDatabase<Tx>
  readonly #publisher: Publisher<Tx>
  readonly #halfMessages: HalfMessages<Tx>
  readonly #consumers = new Consumers<Tx>()
  readonly #readers: QueueReaders
  /** What each of this instance's own transactions has published: a COMMIT with an open outcome must name it. */
  readonly #publishedIn = new WeakMap<object, MessageId[]>()
  #state: 'new' | 'starting' | 'started' | 'stopping' | 'stopped' = 'new'
  #starting: Promise<void> = Promise.resolve()
  #stopped: Promise<void> | undefined
  #redriving: RedriveRunner | undefined
  readonly #dependencies: DependencyWatch
  /** What to end with the readers, and what only then, because what still drains works with it. */
  readonly #endings: { readonly first: Ending[]; readonly last: Ending[] } = { first: [], last: [] }

  /**
   * Opens the database at once, so that publishing works before `start`.
   * @throws WaybillError `config.invalid` and whatever `Database.open` throws
   */
  constructor(options: WaybillOptions<Tx, Mode>) {
    this.#settings = settingsOf(options as unknown as WaybillOptions<never, Mode>)
    this.#options = options
    this.service = options.service
    this.#ports = {
      ...systemPorts,
      telemetry: this.#counters,
      ...(options.log ? { log: options.log } : {}),
      ...options.ports,
    }
    const database: Database<Tx, Mode> = options.database
    this.#database = database.open(this.#ports, { service: options.service, migrate: this.#settings.migrate })
    const composing: ComposeOptions = {
      service: options.service,
      mode: database.mode,
      bodyBytesMax: this.#settings.bodyBytesMax,
      ports: this.#ports,
    }
    this.#publisher = new Publisher(this.#database, composing)
    this.#halfMessages = new HalfMessages(this.#database, composing)
    const redriving = (): void => this.#redriving?.poke()
    const owner = this.#ports.ids.owner()
    this.#readers = logReading(this.#ports).over(this.#database.store, owner, this.#settings.leaseMs)
    this.#dependencies = new DependencyWatch({
      store: this.#database.store,
      ports: this.#ports,
      owner,
      service: options.service,
      redriving,
    })
    const store = (): Store<never> => this.#store()
    const changed = (): void => this.#readers.poke()
    this.deadLetters = new DeadLetters(store, changed)
    this.halves = new Halves(store, changed)
    this.groups = new Groups(store, changed)
    this.redrives = new Redrives(store, redriving, this.#ports.ids.epoch)
    this.#health = new HealthWatch(this.#ports.clock)
  }

  /**
   * Writes messages into the log inside your transaction: they exist if and only if it commits. On a synchronous handle it
   * answers, or throws, before it returns.
   * @param tx the handle your business change is written with, in a transaction
   * @throws WaybillError `publish.no-transaction`, `publish.handle-unknown`, `message.…`, `topic.queues-differ`, `topic.schema-async`, `store.…`; nothing is written then
   */
  publish<In, Out>(tx: Tx, topic: Topic<In, Out>, message: NewMessage<In>): Answer<Mode, MessageId>
  publish<In, Out>(
    tx: Tx,
    topic: Topic<In, Out>,
    messages: readonly NewMessage<In>[],
  ): Answer<Mode, MessageId[]>
  publish<In, Out>(
    tx: Tx,
    topic: Topic<In, Out>,
    message: NewMessage<In> | readonly NewMessage<In>[],
  ): unknown {
    if (Array.isArray(message))
      return this.#append(
        tx,
        (message as readonly NewMessage<In>[]).map((one) => topic.message(one)),
      )
    return chain(this.#append(tx, [topic.message(message as NewMessage<In>)]), ([id]) => id!)
  }

  /** Like `publish`, for messages of several topics: `publishAll(tx, [OrderPaid.message({ … }), StockTaken.message({ … })])`. One statement. */
  publishAll(tx: Tx, messages: readonly Addressed[]): Answer<Mode, MessageId[]> {
    return this.#append(tx, messages) as Answer<Mode, MessageId[]>
  }

  /**
   * Takes back delayed messages of a topic that this service published, inside your transaction, by business key or id.
   * @returns 'cancelled' if something still waited and now never will be delivered; 'too-late' if nothing did (P22)
   * @throws WaybillError `publish.no-transaction`, `publish.handle-unknown`
   */
  cancel<In, Out>(
    tx: Tx,
    topic: Topic<In, Out>,
    which: { readonly key: string } | { readonly id: MessageId },
    options: { readonly because?: string } = {},
  ): Answer<Mode, 'cancelled' | 'too-late'> {
    this.#assertOpen()
    return this.#publisher.cancel(tx, topic.name, which, options.because) as Answer<
      Mode,
      'cancelled' | 'too-late'
    >
  }

  /** Publishes in a transaction of its own, committed when the promise resolves: for what belongs to no business change. */
  publishNow<In, Out>(topic: Topic<In, Out>, message: NewMessage<In>): Promise<MessageId> {
    return this.transaction(async (tx) => (await this.#append(tx, [topic.message(message)]))[0]!)
  }

  /**
   * Runs `work` in one transaction: commits when it returns, rolls back when it throws, never runs it twice.
   * On SQLite, after the first statement await only what settles within the same event-loop turn.
   * @throws whatever `work` throws; WaybillError `store.transaction-left-open`, `store.busy`, `store.disk-full`, and
   * `store.commit-unknown` with the ids it published in `facts.messages`
   */
  async transaction<R>(work: (tx: Tx) => R | Promise<R>): Promise<R> {
    this.#assertOpen()
    const published: MessageId[] = []
    const tracked = (tx: Tx): R | Promise<R> => {
      this.#publishedIn.set(tx as object, published)
      return work(tx)
    }
    try {
      // Its tables may be on their way.
      await this.#database.ready()
      return await this.#database.transaction({ work: tracked })
    } catch (error) {
      throw withIdsIfUnknown(error, published)
    } finally {
      this.#readers.poke()
    }
  }

  /**
   * Writes a half message, invisible to consumers, then does the local work, whose answer decides it. If this process dies first,
   * the topic's check-back is asked, first after 6 s without a sign of life, then every 30 s.
   * @param work answers 'commit', 'rollback' or 'unknown'; may take as long as it likes. Where its business data is in this
   * database, call `decide(tx, half.id, 'commit')` inside the business transaction
   * @returns the decision so far; 'pending' where the dedup key is held by a half message that is undecided
   * @throws WaybillError `half.no-check-back`, `message.…`, `store.…` before the local work; `half.already-decided` where a check or
   * a person decided otherwise meanwhile; whatever `work` throws, which leaves the half message to its checks
   */
  publishHalf<In, Out>(
    topic: Topic<In, Out>,
    message: NewMessage<In>,
    work: HalfWork<In>,
  ): Promise<HalfResult> {
    this.#assertOpen()
    return this.#halfMessages
      .publish(topic as Topic<In, unknown>, message, work)
      .finally(() => this.#readers.poke())
  }

  /**
   * Says how to find out what became of a half message of this topic. Before `start`, once per topic, in every instance.
   * A throw, or taking longer than the topic's `checkTimeout`, counts as unknown, apart from the answered checks.
   */
  onCheckBack<In, Out>(topic: Topic<In, Out>, check: HalfWork<In>): void {
    if (this.#state !== 'new')
      throw new WaybillError('config.invalid', 'onCheckBack must be called before start')
    this.#halfMessages.onCheckBack(topic as Topic<never, unknown>, check as HalfWork<unknown>)
  }

  /**
   * Decides a half message inside the business transaction: on 'commit' it is in the log if and only if the transaction commits.
   * @throws WaybillError `half.already-decided` for a contrary decision, naming the winner: let it fail the transaction;
   * `half.unknown`, `publish.no-transaction`
   */
  decide(tx: Tx, id: MessageId, decision: Decision): Answer<Mode, void> {
    this.#assertOpen()
    return this.#halfMessages.decideIn(tx, id, decision) as Answer<Mode, void>
  }

  /** Runs `work` after the transaction committed, if it does. It may be lost in a crash: for what may be lost. */
  afterCommit(tx: Tx, work: () => void | Promise<void>): void {
    this.#assertOpen()
    this.#database.afterCommit(tx, work)
  }

  /**
   * Declares a handler. Before `start`.
   * @throws WaybillError `group.name-invalid`, `group.options-invalid`
   */
  consume<In, Out>(
    topic: Topic<In, Out>,
    options: ConsumeOptions & { readonly batch?: never },
    handler: Handler<Out, Tx, Mode>,
  ): Consumer
  consume<In, Out>(
    topic: Topic<In, Out>,
    options: BatchConsumeOptions,
    handler: BatchHandler<Out, Tx, Mode>,
  ): Consumer
  consume<In, Out>(
    topic: Topic<In, Out>,
    options: ConsumeOptions & { readonly batch?: number },
    handler: Handler<Out, Tx, Mode> | BatchHandler<Out, Tx, Mode>,
  ): Consumer {
    const settings = consumeSettingsOf(options)
    if (this.#state !== 'new')
      throw new WaybillError(
        'group.options-invalid',
        `consumer group ${settings.group}: consume must be called before start`,
        { group: settings.group },
      )
    this.#consumers.add(subscriptionOf(topic as Topic<never, unknown>, settings, handler))
    return { group: settings.group, topic: topic.name }
  }

  /**
   * Declares the groups and begins to relay, land and consume; each can be left to other instances.
   * @throws WaybillError `group.start-position-needed`, `group.subscription-differs`, `group.other-database`, `topic.queues-differ`, `store.…`
   */
  async start(
    options: { readonly relay?: boolean; readonly land?: boolean; readonly consume?: boolean } = {},
  ): Promise<void> {
    if (this.#state !== 'new')
      throw new WaybillError('waybill.stopped', 'an instance starts once; make a new Waybill to start again')
    this.#state = 'starting'
    this.#starting = this.#start({ relay: true, land: true, consume: true, ...options })
    try {
      await this.#starting
    } catch (error) {
      await this.stop({ withinMs: 0 })
      throw error
    }
    // Not if `stop` was called meanwhile.
    if (this.#state === 'starting') this.#state = 'started'
  }

  /**
   * Drains: begins nothing new, lets running handlers finish, hands queues over at once, closes the database. What does not finish
   * within the time is aborted and delivered again elsewhere. Installs no signal handlers: call it from yours.
   * @param options.withinMs default 10 000
   */
  stop(options: { readonly withinMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#stop(options.withinMs ?? stopWithinMsDefault)
    return this.#stopped
  }

  /** Messages by id, key, topic, group, state and time, newest first. */
  async search(query: SearchQuery): Promise<readonly Found[]> {
    return this.#store().search(query)
  }

  /** How far each reader is behind, per queue. */
  async lag(): Promise<readonly QueueLag[]> {
    return this.#store().lag()
  }

  /**
   * Where a message is, by id or business key, and where it stopped. Several databases at once: `trace(sources, asked)`.
   */
  async trace(asked: string, options: TraceOptions = {}): Promise<Trace> {
    return trace([[this.service, this]], asked, options)
  }

  /** The books of this database: every accepted message is in exactly one state (P30). Several at once: `ledger(sources)`. */
  async ledger(options: LedgerOptions = {}): Promise<Ledger> {
    const { clock } = this.#ports
    const breathe = (): Promise<void> => new Promise((turn) => void clock.afterTurn(turn))
    return ledger([[this.service, this]], { breathe, ...options })
  }

  /** What this database knows of the messages asked for; what `trace` works with. */
  async facts(asked: Asked): Promise<StoreFacts> {
    return this.#store().facts.of(asked)
  }

  /** What `ledger` works with: this database's books, to read in portions. */
  async books(): Promise<BookStore> {
    return this.#store().facts.books
  }

  /** How the instances of this database's services find what they depend on outside: up, down, or being tested. */
  async dependencies(): Promise<readonly ListedDependency[]> {
    return this.#store().dependencies.list()
  }

  /** The schema version that was found when the database was opened, and the one that it has now. */
  async schema(): Promise<{ readonly before: number; readonly now: number }> {
    this.#assertOpen()
    await this.#database.ready()
    return this.#database.schema
  }

  /** Readiness by progress: a queue is stalled when messages wait and its cursor has not moved for a minute, seen between calls. */
  async health(): Promise<Health> {
    const own = new Set([relayReader, ...this.#consumers.groups.map((group) => group[0]!.settings.group)])
    // One that waits on purpose is not stalled, and whoever restarts what is not ready must leave it alone.
    for (const { name, paused } of await this.groups.list())
      if (paused || this.#dependencies.holds(name)) own.delete(name)
    return this.#health.judge(
      this.#state === 'started',
      (await this.lag()).filter((queue) => own.has(queue.reader)),
    )
  }

  /** Prometheus text format. */
  async metrics(): Promise<string> {
    return this.#counters.render(await this.lag())
  }

  #append(tx: Tx, messages: readonly Addressed[]): MaybePromise<MessageId[]> {
    this.#assertOpen()
    return chain(this.#publisher.publish(tx, messages), (ids) => {
      this.#publishedIn.get(tx as object)?.push(...ids)
      return ids
    })
  }

  #store(): Store<Tx> {
    this.#assertOpen()
    return this.#database.store
  }

  #assertOpen(): void {
    if (this.#state === 'stopped')
      throw new WaybillError('waybill.stopped', 'this instance was stopped and its database is closed')
  }

  async #start(parts: { relay: boolean; land: boolean; consume: boolean }): Promise<void> {
    const { store } = this.#database
    await this.#database.ready()
    const groups = this.#consumers.declarations()
    const before = await store.groups.subscriptions()
    const { transport: carrier } = this.#options
    const upkeep = (log: Store<never>) => startUpkeep(log, this.#ports, this.#settings.retentionMs)
    this.#endings.last.push(this.#ports.keepAlive())
    this.#endings.first.push(upkeep(store))
    const transport = await carrier?.open({
      ports: this.#ports,
      service: this.service,
      leaseMs: this.#settings.leaseMs,
      logReading: logReading(this.#ports),
      upkeep,
    })
    if (transport) this.#endings.last.push(() => transport.close())
    for (const group of groups) await store.declareGroup(group)
    if (transport && groups.length > 0) await this.#subscribe(transport, before)
    if (parts.consume) this.#addGroups()
    this.#dependencies.start()
    this.#endings.first.push(() => this.#dependencies.stop())
    if (parts.relay) this.#readers.add(new DueMover(store, this.#ports))
    if (transport && parts.relay)
      this.#readers.add(new Relay({ store, transport, transportName: carrier!.name, ports: this.#ports }))
    await this.#readers.start()
    const poke = (): void => this.#readers.poke()
    const checks = new CheckBacks({
      halves: store.halves,
      service: this.service,
      checkBacks: this.#halfMessages.checkBacks,
      ports: this.#ports,
      committed: poke,
    })
    checks.start()
    this.#endings.first.push((withinMs) => checks.stop(withinMs))
    const redriving = new RedriveRunner({ redrives: store.redrives, ports: this.#ports, redriven: poke })
    redriving.start()
    this.#redriving = redriving
    this.#endings.first.push(() => redriving.stop())
    if (transport && parts.land && groups.length > 0) {
      const lander = new Lander({
        store,
        transport,
        transportName: carrier!.name,
        topics: groups.flatMap((group) => group.topics),
        ports: this.#ports,
        landed: poke,
      })
      lander.start()
      this.#endings.first.push(() => lander.stop())
    }
  }

  async #stop(withinMs: number): Promise<void> {
    this.#state = 'stopping'
    // A start that is under way would go on to serve from what is closed here; whoever called it is told if it failed.
    await this.#starting.catch(() => {})
    try {
      await Promise.all([this.#readers.stop(withinMs), ...this.#endings.first.map((end) => end(withinMs))])
      await Promise.all(this.#endings.last.map((end) => end(withinMs)))
    } finally {
      this.#state = 'stopped'
      await this.#database.close()
    }
  }

  async #subscribe(transport: OpenTransport, before: readonly StoredSubscription[]): Promise<void> {
    const { store } = this.#database
    await transport.subscribe({
      databaseId: await store.epoch(),
      topics: this.#consumers.topics(before),
      landedUpTo: (source, topic, queue) => store.landedUpTo(source, topic, queue),
    })
  }

  #addGroups(): void {
    const gate = new HandlerGate(this.#ports.clock)
    const context = contextMaker<Tx>(this.#ports.log, (tx, topic, message) =>
      this.publish(tx, topic, message),
    )
    for (const subscriptions of this.#consumers.groups) {
      const { settings } = subscriptions[0]!
      this.#readers.add(
        new GroupReader(
          {
            database: this.#database,
            ports: this.#ports,
            context,
            gate,
            dependencies: this.#dependencies.gateOf(settings.group, settings.dependencies),
            receiptHorizonMs: this.#settings.retentionMs,
          },
          subscriptions as readonly Subscription<Tx>[],
        ),
      )
    }
  }
}
