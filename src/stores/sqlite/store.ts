import type { DelayedStore } from '../../core/delayed.ts'
import type { DependencyStore } from '../../core/dependencies.ts'
import type { EpochStore, RecordedPosition } from '../../core/epochs.ts'
import { WaybillError } from '../../core/errors.ts'
import type { FactStore } from '../../core/facts.ts'
import type { GroupStore } from '../../core/groups.ts'
import type { HalfStore } from '../../core/half.ts'
import type { MessageId, OwnerId } from '../../core/ids.ts'
import type { LoggedMessage, PublishedEnvelope } from '../../core/message.ts'
import type { Ports } from '../../core/ports.ts'
import type { RedriveStore } from '../../core/redrive.ts'
import type * as contract from '../../core/store.ts'
import { receiptMarginMs } from '../../core/store.ts'
import { type GroupOrder, unordered } from '../sql/group-rules.ts'
import { outlookOf, outlookText } from '../sql/outlook.ts'
import type { SqliteAccess } from './access.ts'
import { cancelDelayed, moveDue, nextDelayed } from './delayed.ts'
import { listDeadLetters, discardDead, redrive } from './dead-letters.ts'
import { dependencyStore } from './dependencies.ts'
import * as dispositions from './dispositions.ts'
import type { SqliteConnection, SqliteTx } from './driver.ts'
import { epochStore, recordedPosition } from './epochs.ts'
import { factStore } from './facts.ts'
import { countOlder, createCursors, declareGroup, orderOf, registerGroups } from './groups.ts'
import { groupStore } from './group-store.ts'
import * as halves from './halves.ts'
import { collisionsOf, land, parkLogged } from './landing.ts'
import * as leases from './leases.ts'
import * as log from './log.ts'
import { meta } from './migrate.ts'
import { append } from './publishing.ts'
import { purgePortion } from './purge.ts'
import { redriveStore } from './redrives.ts'
import { search } from './search.ts'
import { Topics } from './topics.ts'
import type { Transactions } from './transactions.ts'

export interface SqliteStoreParts {
  readonly ports: Ports
  readonly reader: SqliteConnection
  readonly transactions: Transactions
  /** The connection of a handle in a transaction: Waybill's own, or the user's. */
  readonly connectionOf: (tx: SqliteTx) => SqliteConnection
  readonly watch: (changed: () => void) => () => void
  /** An error of the driver as a coded one. */
  readonly coded: (error: unknown) => unknown
}

/**
 * The store on one SQLite file. Writers are serial, so rowid order is commit order and a cursor is one number (P11). Reads go over
 * a connection of their own: the write connection may be inside a user's open transaction and would show what is not committed.
 */
export class SqliteStore implements contract.Store<SqliteTx> {
  readonly can: contract.StoreCapabilities = { clock: 'host', wakeUps: 'watch', sharedByProcesses: true }
  readonly #parts: SqliteStoreParts
  readonly #topics: Topics
  readonly #epoch: string
  readonly #orders = new Map<string, GroupOrder>()

  constructor(parts: SqliteStoreParts) {
    this.#parts = parts
    this.#topics = new Topics(parts.reader)
    this.#epoch = meta(parts.reader, 'epoch') ?? ''
    const access: SqliteAccess = {
      read: (work) => this.#read(work),
      write: (work) => this.#write(work),
      now: () => this.#now(),
      epoch: this.#epoch,
    }
    this.groups = groupStore(access)
    this.redrives = redriveStore(access)
    this.dependencies = dependencyStore(access)
    this.facts = factStore(access)
    this.epochs = epochStore(access, parts.ports.ids.epoch)
  }

  append(
    tx: SqliteTx,
    messages: readonly PublishedEnvelope[],
    topics: readonly contract.TopicDeclaration[],
  ): readonly contract.Appended[] {
    const connection = this.#parts.connectionOf(tx)
    try {
      this.#ensureTopics(connection, topics)
      return append(connection, messages, topics, this.#now())
    } catch (error) {
      throw this.#parts.coded(error)
    }
  }

  declareTopics(topics: readonly contract.TopicDeclaration[]): Promise<void> {
    return this.#write((connection) => this.#ensureTopics(connection, topics))
  }

  async declareGroup(group: contract.GroupDeclaration): Promise<void> {
    await this.#write((connection) => {
      this.#ensureTopics(connection, group.topics)
      declareGroup(connection, group, this.#epoch, this.#epoch, this.#now())
    })
    this.#orders.set(group.name, { ordered: group.ordered, onFailure: group.onFailure })
  }

  registerGroups(groups: readonly string[], databaseId: string): Promise<void> {
    return this.#write((connection) => registerGroups(connection, groups, databaseId, this.#now()))
  }

  declareReader(
    reader: string,
    topics: readonly contract.TopicDeclaration[],
    from: contract.StartPosition,
  ): Promise<void> {
    return this.#write((connection) => {
      this.#ensureTopics(connection, topics)
      createCursors(connection, reader, topics, from, this.#epoch)
    })
  }

  async countOlder(reader: string, topics: readonly string[]): Promise<number> {
    return this.#read((connection) => countOlder(connection, reader, topics))
  }

  async topics(): Promise<readonly contract.TopicDeclaration[]> {
    return this.#read(() => this.#topics.list())
  }

  share(
    owner: OwnerId,
    readers: readonly contract.ReaderMembership[],
    leaseMs: number,
  ): Promise<readonly contract.Share[]> {
    return this.#write((connection) => leases.share(connection, owner, readers, leaseMs, this.#now()))
  }

  async hasOpening(owner: OwnerId, readers: readonly contract.ReaderMembership[]): Promise<boolean> {
    return this.#read((reader) => leases.hasOpening(reader, owner, readers, this.#now()))
  }

  release(held: readonly contract.Lease[]): Promise<void> {
    return this.#write((connection) => leases.release(connection, held))
  }

  async leave(owner: OwnerId): Promise<void> {
    await this.#write((connection) => connection.run('delete from waybill_members where owner = ?', owner))
  }

  async outlook(owner: OwnerId): Promise<readonly contract.Outlook[]> {
    return this.#read((reader) => reader.all(outlookText, owner).map(outlookOf))
  }

  async read(lease: contract.Lease, after: number, limit: number): Promise<readonly contract.ReadMessage[]> {
    return this.#read((reader) => log.read(reader, lease, after, limit, this.#orderOf(lease.reader)))
  }

  async peek(lease: contract.Lease, after: number): Promise<{ position: number; id: MessageId } | undefined> {
    return this.#read((reader) => log.peek(reader, lease, after))
  }

  advance(lease: contract.Lease, position: number, relayed?: contract.RelayedBatch): Promise<void> {
    return this.#write((connection) => log.advance(connection, lease, position, relayed, this.#now()))
  }

  claim(
    tx: SqliteTx,
    lease: contract.Lease,
    messages: readonly LoggedMessage[],
    from: contract.ClaimFrom,
  ): readonly MessageId[] {
    return dispositions.claim(this.#parts.connectionOf(tx), lease, messages, from, this.#now())
  }

  markDiscarded(tx: SqliteTx, lease: contract.Lease, id: MessageId, because: string): void {
    dispositions.markDiscarded(this.#parts.connectionOf(tx), lease, id, because)
  }

  advanceIn(tx: SqliteTx, lease: contract.Lease, position: number): void {
    log.advance(this.#parts.connectionOf(tx), lease, position, undefined, this.#now())
  }

  releaseFollower(tx: SqliteTx, lease: contract.Lease, shardingKey: string): void {
    const connection = this.#parts.connectionOf(tx)
    leases.assertFence(connection, lease)
    dispositions.releaseFollower(
      connection,
      lease.reader,
      { topic: lease.topic, shardingKey },
      this.#orderOf(lease.reader),
      this.#now(),
    )
  }

  settle(
    lease: contract.Lease,
    settlements: readonly contract.Settlement[],
    advanceTo?: number,
  ): Promise<void> {
    return this.#write((connection) => {
      dispositions.settle(connection, lease, settlements, this.#orderOf(lease.reader), this.#now())
      if (advanceTo !== undefined) log.advance(connection, lease, advanceTo, undefined, this.#now())
    })
  }

  async dispositions(
    lease: contract.Lease,
    ids: readonly MessageId[],
  ): ReturnType<contract.Store<SqliteTx>['dispositions']> {
    return this.#read((reader) => dispositions.dispositions(reader, lease.reader, ids))
  }

  async parkCollisions(
    lease: contract.Lease,
    messages: readonly LoggedMessage[],
  ): Promise<readonly MessageId[]> {
    const collided = this.#read((reader) => collisionsOf(reader, lease.reader, messages))
    if (collided.length > 0)
      await this.#write((connection) => {
        for (const message of collided) parkLogged(connection, message, this.#now())
      })
    return collided.map((message) => message.id)
  }

  async due(lease: contract.Lease, now: number, limit: number): Promise<readonly contract.DueMessage[]> {
    return this.#read((reader) => dispositions.due(reader, lease, now, limit))
  }

  markRunning(
    lease: contract.Lease,
    message: { id: MessageId; position: number },
    alone: boolean,
  ): Promise<number> {
    return this.#write((connection) =>
      dispositions.markRunning(connection, lease, message, alone, this.#now()),
    )
  }

  excuse(lease: contract.Lease, id: MessageId): Promise<void> {
    return this.#write((connection) => dispositions.excuse(connection, lease, id))
  }

  async load(lease: contract.Lease, position: number): Promise<contract.ReadMessage | undefined> {
    const [message] = await this.read(lease, position - 1, 1)
    return message?.position === position ? message : undefined
  }

  land(batch: contract.LandingBatch): Promise<readonly contract.LandedAs[]> {
    return this.#write((connection) => land(connection, this.#topics, batch, this.#now()))
  }

  async landedUpTo(source: string, topic: string, queue: number): Promise<RecordedPosition | undefined> {
    return this.#read((reader) => recordedPosition(reader, source, topic, queue))
  }

  async deadLetters(filter: contract.DeadLetterFilter): Promise<readonly contract.DeadLetter[]> {
    return this.#read((reader) => listDeadLetters(reader, filter))
  }

  redrive(selection: readonly contract.DeadLetterKey[], by: contract.AuditNote): Promise<number> {
    return this.#write((connection) => redrive(connection, selection, by, this.#now()))
  }

  discardDead(selection: readonly contract.DeadLetterKey[], by: contract.AuditNote): Promise<number> {
    return this.#write((connection) => discardDead(connection, selection, by, this.#now()))
  }

  async search(query: contract.SearchQuery): Promise<readonly contract.Found[]> {
    return this.#read((reader) => search(reader, query))
  }

  async lag(): Promise<readonly contract.QueueLag[]> {
    return this.#read((reader) => log.lag(reader))
  }

  readonly delayed: DelayedStore<SqliteTx> = {
    moveDue: async (lease, now, limit) => {
      // Nothing is written when nothing is due (P15).
      const next = nextDelayed(this.#parts.reader, lease)
      if (next === undefined || next > now) return 0
      return this.#write((connection) => moveDue(connection, lease, now, limit))
    },
    cancel: (tx, which, because) => {
      try {
        return cancelDelayed(this.#parts.connectionOf(tx), which, because, this.#now())
      } catch (error) {
        throw this.#parts.coded(error)
      }
    },
  }

  readonly halves: HalfStore<SqliteTx> = {
    prepare: (message, topic, checkAt) =>
      this.#write((connection) => {
        this.#topics.ensure(connection, topic, this.#now())
        return halves.prepareHalf(connection, message, topic, checkAt, this.#now())
      }),
    postpone: (id, checkAt) => this.#write((connection) => halves.postponeCheck(connection, id, checkAt)),
    decideIn: (tx, id, decision, by, because) => {
      try {
        halves.decideHalf(
          this.#parts.connectionOf(tx),
          { id, decision, by, because, expired: false },
          this.#now(),
        )
      } catch (error) {
        throw this.#parts.coded(error)
      }
    },
    decide: (id, decision, by, because, expired = false) =>
      this.#write((connection) =>
        halves.decideHalf(connection, { id, decision, by, because, expired }, this.#now()),
      ),
    takeChecks: async (service, topics, until, limit) => {
      // Nothing is written when nothing is due (P15).
      const next = halves.nextCheck(this.#parts.reader, service, topics)
      if (next === undefined || next > this.#now()) return []
      return this.#write((connection) =>
        halves.takeChecks(connection, service, topics, until, limit, this.#now()),
      )
    },
    recordUnknown: (id, answered, checkAt, because) =>
      this.#write((connection) => halves.recordUnknown(connection, id, answered, checkAt, because)),
    doubt: (id, because) => this.#write((connection) => halves.doubtHalf(connection, id, because)),
    nextCheck: async (service, topics) => halves.nextCheck(this.#parts.reader, service, topics),
    list: async (filter) => halves.listHalves(this.#parts.reader, filter),
  }

  readonly groups: GroupStore
  readonly redrives: RedriveStore
  readonly dependencies: DependencyStore
  readonly facts: FactStore
  readonly epochs: EpochStore

  async epoch(): Promise<string> {
    return this.#epoch
  }

  purge(before: number, receiptsBefore = before - receiptMarginMs): Promise<number> {
    const { reader, ports } = this.#parts
    const breathe = (): Promise<void> => new Promise((turn) => void ports.clock.afterTurn(turn))
    return purgePortion({ reader, before, receiptsBefore, write: (work) => this.#write(work), breathe })
  }

  watch(changed: () => void): () => void {
    return this.#parts.watch(changed)
  }

  #read<R>(work: (reader: SqliteConnection) => R): R {
    try {
      return work(this.#parts.reader)
    } catch (error) {
      throw this.#parts.coded(error)
    }
  }

  #write<R>(work: (connection: SqliteConnection) => R): Promise<R> {
    return this.#parts.transactions.write(work)
  }

  #ensureTopics(connection: SqliteConnection, topics: readonly contract.TopicDeclaration[]): void {
    for (const topic of topics) this.#topics.ensure(connection, topic, this.#now())
  }

  #now(): number {
    return this.#parts.ports.clock.now()
  }

  #orderOf(reader: string): GroupOrder {
    const known = this.#orders.get(reader)
    if (known) return known
    const order = orderOf(this.#parts.reader, reader)
    // A group that is not declared yet may be declared by another process next.
    if (order) this.#orders.set(reader, order)
    return order ?? unordered
  }
}

/** Asked of a handle that Waybill did not give out. */
export function noTransaction(): WaybillError {
  return new WaybillError(
    'publish.no-transaction',
    'the handle is in no transaction, so the message could be stored without the business change or the other way round; begin one, use waybill.transaction, or say publishNow',
  )
}
