import type { DelayedStore } from '../../core/delayed.ts'
import type { DependencyStore } from '../../core/dependencies.ts'
import type { EpochStore, RecordedPosition } from '../../core/epochs.ts'
import type { FactStore } from '../../core/facts.ts'
import type { GroupStore } from '../../core/groups.ts'
import type { HalfStore } from '../../core/half.ts'
import type { MessageId, OwnerId } from '../../core/ids.ts'
import type { LoggedMessage, PublishedEnvelope } from '../../core/message.ts'
import type { Ports } from '../../core/ports.ts'
import type { RedriveStore } from '../../core/redrive.ts'
import type * as contract from '../../core/store.ts'
import { receiptMarginMs } from '../../core/store.ts'
import type { SqlAccess, SqlConnection } from './connection.ts'
import { discardDead, listDeadLetters, redrive } from './dead-letters.ts'
import { dependencyStore } from './dependencies.ts'
import { epochStore, recordedPosition } from './epochs.ts'
import { type GroupOrder, unordered } from './group-rules.ts'
import { groupStore } from './group-store.ts'
import { countOlder, createCursors, declareGroup, orderOf, registerGroups } from './groups.ts'
import * as halves from './halves.ts'
import { outlookOf, outlookText } from './outlook.ts'
import { redriveStore } from './redrives.ts'
import type { Server } from './server.ts'

export interface SqlStoreParts<Tx, C extends SqlConnection> {
  readonly ports: Ports
  readonly access: SqlAccess<C>
  /** The connection of a handle in a transaction: Waybill's own, or the user's. */
  readonly connectionOf: (tx: Tx) => C
  /** Something may have been committed into the log, or will be when the handle's transaction ends. */
  readonly appended: (tx: Tx | undefined) => void
  readonly watch: (changed: () => void) => () => void
}

/** The store on a server. Positions are places in a queue's sequence, which is given to what is committed. */
export class SqlStore<Tx, C extends SqlConnection> implements contract.Store<Tx> {
  readonly can: contract.StoreCapabilities
  readonly groups: GroupStore
  readonly redrives: RedriveStore
  readonly dependencies: DependencyStore
  readonly facts: FactStore
  readonly epochs: EpochStore
  readonly #parts: SqlStoreParts<Tx, C>
  readonly #server: Server<C>
  readonly #read: C
  readonly #orders = new Map<string, GroupOrder>()

  constructor(parts: SqlStoreParts<Tx, C>, server: Server<C>) {
    const { access, ports } = parts
    this.#parts = parts
    this.#server = server
    this.#read = access.read
    this.can = server.can
    this.groups = groupStore(access, server.sequencing, server.leases.lockMembers)
    this.redrives = redriveStore(access, server.dispositions)
    this.dependencies = dependencyStore(access)
    this.facts = server.facts
    this.epochs = epochStore(access, ports.ids.epoch, server.leases.assertFence)
  }

  async append(
    tx: Tx,
    messages: readonly PublishedEnvelope[],
    topics: readonly contract.TopicDeclaration[],
  ): Promise<readonly contract.Appended[]> {
    const connection = this.#parts.connectionOf(tx)
    if (!this.#server.topics.areKnown(topics))
      for (const topic of topics) await this.#server.topics.ensure(connection, topic)
    const appended = await this.#server.append(connection, messages, topics, this.#parts.ports.clock.now())
    this.#parts.appended(tx)
    return appended
  }

  async declareTopics(topics: readonly contract.TopicDeclaration[]): Promise<void> {
    await this.#write((connection) => this.#ensureTopics(connection, topics))
  }

  async declareGroup(group: contract.GroupDeclaration): Promise<void> {
    await this.#findEnds(group.from)
    const epoch = await this.epoch()
    await this.#write(async (connection) => {
      await this.#ensureTopics(connection, group.topics)
      await declareGroup(connection, group, epoch)
    })
    this.#orders.set(group.name, { ordered: group.ordered, onFailure: group.onFailure })
  }

  async registerGroups(groups: readonly string[], databaseId: string): Promise<void> {
    await this.#write((connection) => registerGroups(connection, groups, databaseId))
  }

  async declareReader(
    reader: string,
    topics: readonly contract.TopicDeclaration[],
    from: contract.StartPosition,
  ): Promise<void> {
    await this.#findEnds(from)
    const epoch = await this.epoch()
    await this.#write(async (connection) => {
      await this.#ensureTopics(connection, topics)
      await createCursors(connection, reader, topics, from, epoch)
    })
  }

  countOlder(reader: string, topics: readonly string[]): Promise<number> {
    return countOlder(this.#read, reader, topics)
  }

  topics(): Promise<readonly contract.TopicDeclaration[]> {
    return this.#server.topics.list()
  }

  share(
    owner: OwnerId,
    readers: readonly contract.ReaderMembership[],
    leaseMs: number,
  ): Promise<readonly contract.Share[]> {
    return this.#server.share(owner, readers, leaseMs)
  }

  hasOpening(owner: OwnerId, readers: readonly contract.ReaderMembership[]): Promise<boolean> {
    return this.#server.leases.hasOpening(this.#read, owner, readers)
  }

  release(held: readonly contract.Lease[]): Promise<void> {
    return this.#write((connection) => this.#server.leases.release(connection, held))
  }

  async leave(owner: OwnerId): Promise<void> {
    await this.#write((connection) => connection.run('delete from waybill_members where owner = ?', owner))
  }

  async outlook(owner: OwnerId): Promise<readonly contract.Outlook[]> {
    const known = await this.#server.outlook?.(owner)
    return known ?? (await this.#read.all(outlookText, owner)).map(outlookOf)
  }

  async read(lease: contract.Lease, after: number, limit: number): Promise<readonly contract.ReadMessage[]> {
    const order = await this.#orderOf(lease.reader)
    return this.#server.log.read(this.#read, lease, after, limit, order)
  }

  peek(lease: contract.Lease, after: number): Promise<{ position: number; id: MessageId } | undefined> {
    return this.#server.log.peek(this.#read, lease, after)
  }

  advance(lease: contract.Lease, position: number, relayed?: contract.RelayedBatch): Promise<void> {
    if (relayed) return this.#server.log.advanceRelayed(lease, position, relayed)
    // One statement is a transaction.
    return this.#server.log.advance(this.#read, lease, position)
  }

  claim(
    tx: Tx,
    lease: contract.Lease,
    messages: readonly LoggedMessage[],
    from: contract.ClaimFrom,
  ): Promise<readonly MessageId[]> {
    return this.#server.dispositions.claim(this.#parts.connectionOf(tx), lease, messages, from)
  }

  markDiscarded(tx: Tx, lease: contract.Lease, id: MessageId, because: string): Promise<void> {
    return this.#server.dispositions.markDiscarded(this.#parts.connectionOf(tx), lease, id, because)
  }

  advanceIn(tx: Tx, lease: contract.Lease, position: number): Promise<void> {
    return this.#server.log.advance(this.#parts.connectionOf(tx), lease, position)
  }

  async releaseFollower(tx: Tx, lease: contract.Lease, shardingKey: string): Promise<void> {
    const connection = this.#parts.connectionOf(tx)
    await this.#server.leases.assertFence(connection, lease)
    const order = await this.#orderOf(lease.reader, connection)
    await this.#server.dispositions.releaseFollower(
      connection,
      lease.reader,
      { topic: lease.topic, shardingKey },
      order,
    )
  }

  async settle(
    lease: contract.Lease,
    settlements: readonly contract.Settlement[],
    advanceTo?: number,
  ): Promise<void> {
    const order = await this.#orderOf(lease.reader)
    await this.#write(async (connection) => {
      await this.#server.dispositions.settle(connection, lease, settlements, order)
      if (advanceTo !== undefined) await this.#server.log.advance(connection, lease, advanceTo)
    })
  }

  dispositions(
    lease: contract.Lease,
    ids: readonly MessageId[],
  ): ReturnType<contract.Store<Tx>['dispositions']> {
    return this.#server.dispositions.dispositions(this.#read, lease.reader, ids)
  }

  async parkCollisions(
    lease: contract.Lease,
    messages: readonly LoggedMessage[],
  ): Promise<readonly MessageId[]> {
    const collided = await this.#server.collisionsOf(this.#read, lease.reader, messages)
    if (collided.length > 0)
      await this.#write(async (connection) => {
        for (const message of collided) await this.#server.parkLogged(connection, message)
      })
    return collided.map((message) => message.id)
  }

  due(lease: contract.Lease, now: number, limit: number): Promise<readonly contract.DueMessage[]> {
    return this.#server.dispositions.due(this.#read, lease, now, limit)
  }

  markRunning(
    lease: contract.Lease,
    message: { id: MessageId; position: number },
    alone: boolean,
  ): Promise<number> {
    return this.#write((connection) =>
      this.#server.dispositions.markRunning(connection, lease, message, alone),
    )
  }

  excuse(lease: contract.Lease, id: MessageId): Promise<void> {
    return this.#write((connection) => this.#server.dispositions.excuse(connection, lease, id))
  }

  async load(lease: contract.Lease, position: number): Promise<contract.ReadMessage | undefined> {
    const [message] = await this.read(lease, position - 1, 1)
    return message?.position === position ? message : undefined
  }

  async land(batch: contract.LandingBatch): Promise<readonly contract.LandedAs[]> {
    const landed = await this.#write((connection) => this.#server.land(connection, batch))
    this.#parts.appended(undefined)
    return landed
  }

  landedUpTo(source: string, topic: string, queue: number): Promise<RecordedPosition | undefined> {
    return recordedPosition(this.#read, source, topic, queue)
  }

  deadLetters(filter: contract.DeadLetterFilter): Promise<readonly contract.DeadLetter[]> {
    return listDeadLetters(this.#read, filter)
  }

  redrive(selection: readonly contract.DeadLetterKey[], by: contract.AuditNote): Promise<number> {
    return this.#write((connection) => redrive(connection, this.#server.dispositions, selection, by))
  }

  discardDead(selection: readonly contract.DeadLetterKey[], by: contract.AuditNote): Promise<number> {
    return this.#write((connection) => discardDead(connection, this.#server.dispositions, selection, by))
  }

  search(query: contract.SearchQuery): Promise<readonly contract.Found[]> {
    return this.#server.search(query)
  }

  lag(): Promise<readonly contract.QueueLag[]> {
    return this.#server.lag()
  }

  readonly delayed: DelayedStore<Tx> = {
    moveDue: async (lease, now, limit) => {
      const moved = await this.#server.moveDue(lease, now, limit)
      if (moved > 0) this.#parts.appended(undefined)
      return moved
    },
    cancel: (tx, which, because) => this.#server.cancelDelayed(this.#parts.connectionOf(tx), which, because),
  }

  readonly halves: HalfStore<Tx> = {
    prepare: (message, topic, checkAt) =>
      this.#write(async (connection) => {
        await this.#server.topics.ensure(connection, topic)
        return halves.prepareHalf(connection, this.#server.takeDedupKeys, message, topic, checkAt)
      }),
    postpone: (id, checkAt) => halves.postponeCheck(this.#read, id, checkAt),
    decideIn: async (tx, id, decision, by, because) => {
      await this.#server.decideHalf(this.#parts.connectionOf(tx), {
        id,
        decision,
        by,
        because,
        expired: false,
      })
      this.#parts.appended(tx)
    },
    decide: async (id, decision, by, because, expired = false) => {
      await this.#write((connection) =>
        this.#server.decideHalf(connection, { id, decision, by, because, expired }),
      )
      this.#parts.appended(undefined)
    },
    takeChecks: async (service, topics, until, limit) => {
      // Nothing is written when nothing is due (P15).
      const { at, now } = await halves.nextCheck(this.#read, service, topics)
      if (at === undefined || at > now) return []
      return this.#server.takeChecks(service, topics, until, limit)
    },
    recordUnknown: (id, answered, checkAt, because) =>
      halves.recordUnknown(this.#read, id, answered, checkAt, because),
    doubt: (id, because) => halves.doubtHalf(this.#read, id, because),
    nextCheck: async (service, topics) => (await halves.nextCheck(this.#read, service, topics)).at,
    list: (filter) => halves.listHalves(this.#read, filter),
  }

  epoch(): Promise<string> {
    return this.#parts.access.epoch()
  }

  purge(before: number, receiptsBefore = before - receiptMarginMs): Promise<number> {
    return this.#server.purge(before, receiptsBefore)
  }

  watch(changed: () => void): () => void {
    return this.#parts.watch(changed)
  }

  #write<R>(work: (connection: C) => Promise<R>): Promise<R> {
    return this.#parts.access.write(work)
  }

  /** Who begins at the oldest need not know where the queues end, and so not wait until all of a backlog is in sequence. */
  async #findEnds(from: contract.StartPosition | undefined): Promise<void> {
    if (from !== undefined && from !== 'oldest') await this.#server.sequencing.all()
  }

  async #ensureTopics(connection: C, topics: readonly contract.TopicDeclaration[]): Promise<void> {
    // In one order for all, or two that declare the same topics dead-lock.
    for (const topic of topics.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
      await this.#server.topics.ensure(connection, topic)
  }

  async #orderOf(reader: string, connection = this.#read): Promise<GroupOrder> {
    const known = this.#orders.get(reader)
    if (known) return known
    const order = await orderOf(connection, reader)
    // A group that is not declared yet may be declared by another process next.
    if (order) this.#orders.set(reader, order)
    return order ?? unordered
  }
}
