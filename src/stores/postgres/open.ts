import type { OpenDatabase, OpenOptions } from '../../core/database.ts'
import { WaybillError } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import { PgConnection, StatementTexts } from './connection.ts'
import type { PgAdopted, PgDriver } from './driver.ts'
import { checkSchema, installedVersion, meta, migrate } from './migrate.ts'
import { Notices } from './notices.ts'
import { Sequencing } from './sequencing.ts'
import { PostgresStore } from './store.ts'
import { Transactions, noTransaction } from './transactions.ts'

export interface PostgresOptions {
  /** Where Waybill's tables are. Default 'public'. */
  readonly schema?: string
}

const schemaForm = /^[a-z_][a-z0-9_]{0,39}$/

/** Opens a PostgreSQL database as a Waybill database, through any library. Nothing is asked of the server before it is needed. */
export function openPostgres<Tx>(
  driver: PgDriver<Tx>,
  { schema = 'public' }: PostgresOptions,
  ports: Ports,
  options: OpenOptions,
): OpenDatabase<Tx> {
  if (!schemaForm.test(schema))
    throw new WaybillError(
      'config.invalid',
      `the schema ${JSON.stringify(schema)} is refused: a lower-case letter or _, then up to 39 of a-z, 0-9 and _`,
    )
  return new OpenedPostgres(driver, new StatementTexts(schema), ports, options)
}

class OpenedPostgres<Tx> implements OpenDatabase<Tx> {
  readonly store: PostgresStore<Tx>
  readonly #driver: PgDriver<Tx>
  readonly #texts: StatementTexts
  readonly #ports: Ports
  readonly #options: OpenOptions
  readonly #transactions: Transactions<Tx>
  readonly #notices: Notices
  #ready: Promise<void> | undefined
  #schema: { readonly before: number; readonly now: number } | undefined
  #epoch: string | undefined

  constructor(driver: PgDriver<Tx>, texts: StatementTexts, ports: Ports, options: OpenOptions) {
    this.#driver = driver
    this.#texts = texts
    this.#ports = ports
    this.#options = options
    this.#transactions = new Transactions(driver, texts, ports)
    const sequencing = new Sequencing(driver as PgDriver<never>, texts, ports.clock)
    this.#notices = new Notices(driver as PgDriver<never>, texts, ports, sequencing)
    this.store = new PostgresStore({
      ports,
      access: {
        read: new PgConnection(driver, texts),
        write: (work) => this.#transactions.write(work),
        snapshot: (work) => this.#transactions.snapshot(work),
        epoch: async () => {
          await this.ready()
          return this.#epoch!
        },
      },
      sequencing,
      connectionOf: (tx) => this.#connectionOf(tx),
      appended: (tx) => this.#appended(tx),
      watch: (changed) => this.#notices.watch(changed),
    })
  }

  get schema(): { readonly before: number; readonly now: number } {
    if (this.#schema) return this.#schema
    throw new WaybillError('config.invalid', 'the schema is known once the database is ready')
  }

  /** A server that was not there is asked again the next time. */
  ready(): Promise<void> {
    this.#ready ??= this.#prepare().catch((error: unknown) => {
      this.#ready = undefined
      throw error
    })
    return this.#ready
  }

  async #prepare(): Promise<void> {
    const driver = this.#driver as PgDriver<never>
    const connection = new PgConnection(driver, this.#texts)
    const before = await installedVersion(connection)
    if (this.#options.migrate === 'auto') await migrate(driver, this.#texts, this.#ports)
    else await checkSchema(driver, this.#texts)
    this.#epoch = (await meta(connection, 'epoch'))!
    this.#schema = { before, now: await installedVersion(connection) }
  }

  assertInTransaction(tx: Tx): void {
    if (this.#transactions.of(tx as object)) return
    const isIn = this.#adopt(tx).isInTransaction()
    if (isIn === undefined)
      throw new WaybillError(
        'publish.handle-unknown',
        `this handle of ${this.#driver.name} cannot tell whether it is in a transaction; update the package, or use waybill.transaction`,
      )
    if (!isIn) throw noTransaction()
  }

  transaction: OpenDatabase<Tx>['transaction'] = (stages) => this.#transactions.run(stages)

  afterCommit(tx: Tx, work: () => void | Promise<void>): void {
    const own = this.#transactions.of(tx as object)
    if (!own) this.#adopt(tx).isInTransaction()
    if (!own)
      throw new WaybillError(
        'publish.after-commit-unsupported',
        'afterCommit needs a transaction that Waybill opened (waybill.transaction or a handler): of others it cannot know whether they committed',
      )
    own.afterCommit.push(work)
  }

  async close(): Promise<void> {
    this.#notices.stop()
    await this.#driver.close()
  }

  #connectionOf(tx: Tx): PgConnection {
    return new PgConnection(this.#adopt(tx).runner, this.#texts)
  }

  #adopt(tx: Tx): PgAdopted {
    const adopted = this.#driver.adopt(tx)
    if (adopted) return adopted
    throw new WaybillError(
      'publish.handle-unknown',
      `this is no handle of ${this.#driver.name} on one connection, and whether it is in a transaction cannot be told; pass the handle that the business change is written with`,
    )
  }

  /** Readers are told once it is committed, and never inside the transaction: a NOTIFY there serialises all commits. */
  #appended(tx: Tx | undefined): void {
    if (tx === undefined) return this.#notices.tell()
    const own = this.#transactions.of(tx as object)
    if (own) own.afterCommit.push(() => this.#notices.tell())
    else this.#adopt(tx).onceEnded?.(() => this.#notices.tell())
  }
}
