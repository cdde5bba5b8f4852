import type { DelayedStore } from '../../core/delayed.ts'
import type { DependencyStore } from '../../core/dependencies.ts'
import type { FactStore } from '../../core/facts.ts'
import type { GroupStore } from '../../core/groups.ts'
import type { HalfStore } from '../../core/half.ts'
import type { MessageId, OwnerId } from '../../core/ids.ts'
import type { LoggedMessage, PublishedEnvelope } from '../../core/message.ts'
import type { Ports } from '../../core/ports.ts'
import type { RedriveStore } from '../../core/redrive.ts'
import type * as contract from '../../core/store.ts'
import type { MyAccess } from './access.ts'
import type { MyConnection } from './connection.ts'
import { discardDead, listDeadLetters, redrive } from './dead-letters.ts'
import { cancelDelayed, moveDue, nextDelayed } from './delayed.ts'
import { dependencyStore } from './dependencies.ts'
import * as dispositions from './dispositions.ts'
import { factStore } from './facts.ts'
import { groupStore } from './group-store.ts'
import {
  type GroupOrder,
  countOlder,
  createCursors,
  declareGroup,
  orderOf,
  registerGroups,
  unordered,
} from './groups.ts'
import * as halves from './halves.ts'
import { collisionsOf, land, landedUpTo, parkLogged } from './landing.ts'
import * as leases from './leases.ts'
import * as log from './log.ts'
import { append } from './publishing.ts'
import { purgePortion } from './purge.ts'
import { redriveStore } from './redrives.ts'
import { search } from './search.ts'
import { Sequencing } from './sequencing.ts'
import { Topics } from './topics.ts'

export interface MysqlStoreParts<Tx> {
  readonly ports: Ports
  readonly access: MyAccess
  /** The connection of a handle in a transaction: Waybill's own, or the user's. */
  readonly connectionOf: (tx: Tx) => MyConnection
  /** Something may have been committed into the log, or will be when the handle's transaction ends. */
  readonly appended: (tx: Tx | undefined) => void
  readonly watch: (changed: () => void) => () => void
}

/** 48 bits, below 2^53 with room for every claim that follows. */
const tokenDigits = 12

/** The store on MySQL and MariaDB. Positions are places in a queue's sequence, which `Sequencing` gives to what is committed. */
export class MysqlStore<Tx> implements contract.Store<Tx> {
  readonly can: contract.StoreCapabilities = {
    clock: 'database',
    wakeUps: 'poll',
    sharedByProcesses: true,
  }
  readonly groups: GroupStore
  readonly redrives: RedriveStore
  readonly dependencies: DependencyStore
  readonly facts: FactStore
  readonly #parts: MysqlStoreParts<Tx>
  readonly #read: MyConnection
  readonly #sequencing: Sequencing
  /** Of the last claim. Begins anywhere in a space of which all claims of a store's life take next to nothing. */
  #token: number
  readonly #topics: Topics
  readonly #orders = new Map<string, GroupOrder>()

  constructor(parts: MysqlStoreParts<Tx>) {
    const { access, ports } = parts
    const sequencing = new Sequencing(access)
    this.#parts = parts
    this.#sequencing = sequencing
    this.#token = Number.parseInt(ports.digest(ports.ids.epoch()).slice(0, tokenDigits), 16)
    this.#read = access.read
    this.#topics = new Topics(access.read)
    this.groups = groupStore(access, sequencing)
    this.redrives = redriveStore(access)
    this.dependencies = dependencyStore(access)
    this.facts = factStore(access, sequencing)
  }

  async append(
    tx: Tx,
    messages: readonly PublishedEnvelope[],
    topics: readonly contract.TopicDeclaration[],
  ): Promise<readonly contract.Appended[]> {
    const connection = this.#parts.connectionOf(tx)
    if (!this.#topics.areKnown(topics))
      for (const topic of topics) await this.#topics.ensure(connection, topic)
    const appended = await append(connection, messages, topics, this.#parts.ports.clock.now())
    this.#parts.appended(tx)
    return appended
  }

  async declareTopics(topics: readonly contract.TopicDeclaration[]): Promise<void> {
    await this.#write((connection) => this.#ensureTopics(connection, topics))
  }

  async declareGroup(group: contract.GroupDeclaration): Promise<void> {
    await this.#sequencing.all()
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
    await this.#sequencing.all()
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
    return this.#topics.list()
  }

  share(
    owner: OwnerId,
    readers: readonly contract.ReaderMembership[],
    leaseMs: number,
  ): Promise<readonly contract.Share[]> {
    return this.#write((connection) => leases.share(connection, owner, readers, leaseMs))
  }

  hasOpening(owner: OwnerId, readers: readonly contract.ReaderMembership[]): Promise<boolean> {
    return leases.hasOpening(this.#read, owner, readers)
  }

  release(held: readonly contract.Lease[]): Promise<void> {
    return this.#write((connection) => leases.release(connection, held))
  }

  async leave(owner: OwnerId): Promise<void> {
    await this.#write((connection) => connection.run('delete from waybill_members where owner = ?', owner))
  }

  async read(lease: contract.Lease, after: number, limit: number): Promise<readonly contract.ReadMessage[]> {
    const order = await this.#orderOf(lease.reader)
    return log.read(this.#read, this.#sequencing, lease, after, limit, order)
  }

  peek(lease: contract.Lease, after: number): Promise<{ position: number; id: MessageId } | undefined> {
    return log.peek(this.#read, this.#sequencing, lease, after)
  }

  advance(lease: contract.Lease, position: number, relayed?: contract.RelayedBatch): Promise<void> {
    if (relayed) return this.#write((connection) => log.advance(connection, lease, position, relayed))
    // One statement is a transaction.
    return log.advance(this.#read, lease, position, undefined)
  }

  claim(
    tx: Tx,
    lease: contract.Lease,
    messages: readonly LoggedMessage[],
    from: contract.ClaimFrom,
  ): Promise<readonly MessageId[]> {
    return dispositions.claim(this.#parts.connectionOf(tx), lease, messages, from, ++this.#token)
  }

  markDiscarded(tx: Tx, lease: contract.Lease, id: MessageId, because: string): Promise<void> {
    return dispositions.markDiscarded(this.#parts.connectionOf(tx), lease, id, because)
  }

  advanceIn(tx: Tx, lease: contract.Lease, position: number): Promise<void> {
    return log.advance(this.#parts.connectionOf(tx), lease, position, undefined)
  }

  async releaseFollower(tx: Tx, lease: contract.Lease, shardingKey: string): Promise<void> {
    const connection = this.#parts.connectionOf(tx)
    await leases.assertFence(connection, lease)
    const order = await this.#orderOf(lease.reader, connection)
    await dispositions.releaseFollower(connection, lease.reader, { topic: lease.topic, shardingKey }, order)
  }

  async settle(
    lease: contract.Lease,
    settlements: readonly contract.Settlement[],
    advanceTo?: number,
  ): Promise<void> {
    const order = await this.#orderOf(lease.reader)
    await this.#write(async (connection) => {
      await dispositions.settle(connection, lease, settlements, order)
      if (advanceTo !== undefined) await log.advance(connection, lease, advanceTo, undefined)
    })
  }

  dispositions(
    lease: contract.Lease,
    ids: readonly MessageId[],
  ): ReturnType<contract.Store<Tx>['dispositions']> {
    return dispositions.dispositions(this.#read, lease.reader, ids)
  }

  async parkCollisions(
    lease: contract.Lease,
    messages: readonly LoggedMessage[],
  ): Promise<readonly MessageId[]> {
    const collided = await collisionsOf(this.#read, lease.reader, messages)
    if (collided.length > 0)
      await this.#write(async (connection) => {
        for (const message of collided) await parkLogged(connection, message)
      })
    return collided.map((message) => message.id)
  }

  due(lease: contract.Lease, now: number, limit: number): Promise<readonly contract.DueMessage[]> {
    return dispositions.due(this.#read, lease, now, limit)
  }

  nextDue(lease: contract.Lease): Promise<number | undefined> {
    return dispositions.nextDue(this.#read, lease)
  }

  markRunning(
    lease: contract.Lease,
    message: { id: MessageId; position: number },
    alone: boolean,
  ): Promise<number> {
    return this.#write((connection) => dispositions.markRunning(connection, lease, message, alone))
  }

  excuse(lease: contract.Lease, id: MessageId): Promise<void> {
    return this.#write((connection) => dispositions.excuse(connection, lease, id))
  }

  async load(lease: contract.Lease, position: number): Promise<contract.ReadMessage | undefined> {
    const [message] = await this.read(lease, position - 1, 1)
    return message?.position === position ? message : undefined
  }

  async land(batch: contract.LandingBatch): Promise<readonly contract.LandedAs[]> {
    const landed = await this.#write((connection) => land(connection, this.#topics, batch))
    this.#parts.appended(undefined)
    return landed
  }

  landedUpTo(source: string, topic: string, queue: number): Promise<number | undefined> {
    return landedUpTo(this.#read, source, topic, queue)
  }

  deadLetters(filter: contract.DeadLetterFilter): Promise<readonly contract.DeadLetter[]> {
    return listDeadLetters(this.#read, filter)
  }

  redrive(selection: readonly contract.DeadLetterKey[], by: contract.AuditNote): Promise<number> {
    return this.#write((connection) => redrive(connection, selection, by))
  }

  discardDead(selection: readonly contract.DeadLetterKey[], by: contract.AuditNote): Promise<number> {
    return this.#write((connection) => discardDead(connection, selection, by))
  }

  search(query: contract.SearchQuery): Promise<readonly contract.Found[]> {
    return search(this.#parts.access, this.#sequencing, query)
  }

  lag(): Promise<readonly contract.QueueLag[]> {
    return log.lag(this.#read, this.#sequencing)
  }

  readonly delayed: DelayedStore<Tx> = {
    moveDue: async (lease, now, limit) => {
      // Nothing is written when nothing is due (P15).
      const next = await nextDelayed(this.#read, lease)
      if (next === undefined || next > now) return 0
      const moved = await this.#write((connection) => moveDue(connection, lease, now, limit))
      if (moved > 0) this.#parts.appended(undefined)
      return moved
    },
    nextDelayed: (lease) => nextDelayed(this.#read, lease),
    cancel: (tx, which, because) => cancelDelayed(this.#parts.connectionOf(tx), which, because),
  }

  readonly halves: HalfStore<Tx> = {
    prepare: (message, topic, checkAt) =>
      this.#write(async (connection) => {
        await this.#topics.ensure(connection, topic)
        return halves.prepareHalf(connection, message, topic, checkAt)
      }),
    postpone: (id, checkAt) => halves.postponeCheck(this.#read, id, checkAt),
    decideIn: async (tx, id, decision, by, because) => {
      await halves.decideHalf(this.#parts.connectionOf(tx), { id, decision, by, because, expired: false })
      this.#parts.appended(tx)
    },
    decide: async (id, decision, by, because, expired = false) => {
      await this.#write((connection) => halves.decideHalf(connection, { id, decision, by, because, expired }))
      this.#parts.appended(undefined)
    },
    takeChecks: async (service, topics, until, limit) => {
      // Nothing is written when nothing is due (P15).
      const { at, now } = await halves.nextCheck(this.#read, service, topics)
      if (at === undefined || at > now) return []
      return this.#write((connection) => halves.takeChecks(connection, service, topics, until, limit))
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

  purge(before: number): Promise<number> {
    return purgePortion(this.#parts.access, before)
  }

  watch(changed: () => void): () => void {
    return this.#parts.watch(changed)
  }

  #write<R>(work: (connection: MyConnection) => Promise<R>): Promise<R> {
    return this.#parts.access.write(work)
  }

  async #ensureTopics(connection: MyConnection, topics: readonly contract.TopicDeclaration[]): Promise<void> {
    // In one order for all, or two that declare the same topics dead-lock.
    for (const topic of topics.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
      await this.#topics.ensure(connection, topic)
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
