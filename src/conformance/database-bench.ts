import type { Database, OpenDatabase, OpenOptions } from '../core/database.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { MaybePromise } from '../core/maybe-promise.ts'
import type { PublishedEnvelope } from '../core/message.ts'
import type { TopicDeclaration } from '../core/store.ts'
import type { Promised } from './conformance-test.ts'
import type { DatabaseSubject } from './subject.ts'

/** What a database handle claims. What it does not claim is shown as skipped. */
export interface DatabaseClaims {
  readonly mode: Database<never>['mode']
  readonly dialect: Database<never>['dialect']
  /** The tool has statements that are prepared once and run later. */
  readonly prepares: boolean
  /** The subject can make the database run out of room. */
  readonly fillsUp: boolean
  /** Databases that must be refused when they are opened. */
  readonly refusals: readonly Refusal[]
  /** The user's own handles that must be refused in a transaction. */
  readonly unsafeHandles: readonly Refusal[]
}

export interface Refusal {
  /** As in "… is refused": 'a file that is no database'. */
  readonly what: string
  readonly code: ErrorCode
}

export type DatabasePromise = Promised<DatabaseBench, DatabaseClaims>

/** What tests of a handle need beyond those of its store. */
export interface HandleSubject<Tx> extends DatabaseSubject<Tx> {
  /** A connection that the user's own code opened with the tool itself, on the same database. */
  own(): MaybePromise<OwnHandle<Tx>>
  /** What is no handle of this tool. */
  readonly foreign: readonly unknown[]
  /** Runs SQL in the user's way. */
  run(tx: Tx, sql: string): MaybePromise<unknown>
  /** Statements that begin or end a transaction behind Waybill's back, and disguises of them. */
  readonly control: readonly string[]
  /** Prepares the statement that adds an effect, to be run later. */
  prepareAdd?(tx: Tx): (text: string) => MaybePromise<unknown>
  /** In a transaction of Waybill: leaves no room for anything more, or gives it back. */
  room?(tx: Tx, isThere: boolean): MaybePromise<unknown>
  /** A place without Waybill's schema, to be opened any number of times. */
  empty(): MaybePromise<{ open(migrate: OpenOptions['migrate']): MaybePromise<OpenDatabase<Tx>> }>
  /** Opens one empty place in so many processes at the same moment. Answers the schema that each found and left. */
  openInProcesses(count: number): Promise<readonly OpenDatabase<Tx>['schema'][]>
  /** Makes the database look as if newer code had migrated it. */
  pretendNewer(version: number, worksWithSince: number): Promise<void>
  /** Tries to open what `claims.refusals` names. */
  openRefused(what: string): MaybePromise<unknown>
  /** An own handle of the kind that `claims.unsafeHandles` names. */
  unsafe(what: string): MaybePromise<OwnHandle<Tx>>
}

export interface OwnHandle<Tx> {
  readonly tx: Tx
  begin(): MaybePromise<unknown>
  commit(): MaybePromise<unknown>
  rollback(): MaybePromise<unknown>
  close(): MaybePromise<unknown>
}

const topic: TopicDeclaration = { name: 'order.paid', queues: 1 }

export class DatabaseBench {
  readonly subject: HandleSubject<unknown>
  readonly claims: DatabaseClaims
  readonly database: OpenDatabase<unknown>
  readonly #close: (() => MaybePromise<unknown>)[]

  private constructor(
    subject: HandleSubject<unknown>,
    claims: DatabaseClaims,
    database: OpenDatabase<unknown>,
  ) {
    this.subject = subject
    this.claims = claims
    this.database = database
    this.#close = [() => database.close()]
  }

  static async use<Tx>(
    subject: HandleSubject<Tx>,
    claims: DatabaseClaims,
    work: (bench: DatabaseBench) => Promise<void>,
  ): Promise<void> {
    const untyped = subject as unknown as HandleSubject<unknown>
    const bench = new DatabaseBench(untyped, claims, await untyped.open())
    try {
      await work(bench)
    } finally {
      for (const close of bench.#close.toReversed()) await close()
      await subject.dispose()
    }
  }

  /** The same database, as another process sees it. */
  async another(): Promise<OpenDatabase<unknown>> {
    return this.closing(await this.subject.open())
  }

  /** The user's own handle. */
  async own(): Promise<OwnHandle<unknown>> {
    return this.closing(await this.subject.own())
  }

  closing<T extends { close(): MaybePromise<unknown> }>(opened: T): T {
    this.#close.push(() => opened.close())
    return opened
  }

  effects(): Promise<readonly string[]> {
    return this.subject.effects.all()
  }

  async add(tx: unknown, text: string): Promise<void> {
    await this.subject.effects.add(tx, text)
  }

  async append(tx: unknown, database: OpenDatabase<unknown> = this.database): Promise<void> {
    await database.store.append(tx, [this.message()], [topic])
  }

  /** How many messages are in the log. */
  async logged(database: OpenDatabase<unknown> = this.database): Promise<number> {
    return (await database.store.search({})).length
  }

  message(): PublishedEnvelope {
    const { ports } = this.subject
    const body = '{"paid":1}'
    return {
      id: ports.ids.message(),
      service: 'order',
      topic: topic.name,
      tag: null,
      key: null,
      shardingKey: null,
      headers: {},
      body,
      bodyHash: ports.digest(body),
      publishedAt: ports.clock.now(),
      eligibleAt: ports.clock.now(),
      dedupKey: null,
    }
  }
}

/** What real I/O takes: at least one turn of the event loop. */
export async function realIo(): Promise<void> {
  for (let turns = 0; turns < 3; turns++) await new Promise((done) => setImmediate(done))
}

export const syncOnly = ({ mode }: DatabaseClaims): string | undefined =>
  mode === 'sync' ? undefined : 'only synchronous handles cannot wait inside a transaction'
export const asyncOnly = ({ mode }: DatabaseClaims): string | undefined =>
  mode === 'async' ? undefined : 'synchronous handles cannot wait inside a transaction'
