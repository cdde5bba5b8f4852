import type { OpenDatabase, OpenOptions } from '../../core/database.ts'
import { WaybillError } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import { MyConnection, StatementTexts } from './connection.ts'
import type { MyAdopted, MyDriver } from './driver.ts'
import { checkSchema, installedVersion, meta, migrate, schemaVersion } from './migrate.ts'
import { Notices } from './notices.ts'
import { checkSettings } from './settings.ts'
import { MysqlStore } from './store.ts'
import { Transactions, noTransaction } from './transactions.ts'

export interface MysqlOptions {
  /** The database on the same server that Waybill's tables are in. Default: the one that the connections are in. */
  readonly schema?: string
}

/** One over a pool, which may be too small to read the log with. */
interface Pooled {
  /** @throws WaybillError `config.invalid` */
  checkRoom?(): void
}

const schemaForm = /^[A-Za-z_][A-Za-z0-9_-]{0,59}$/

/** Opens a MySQL or MariaDB database as a Waybill database, through any library. Nothing is asked of the server before it is needed. */
export function openMysql<Tx>(
  driver: MyDriver<Tx>,
  options: MysqlOptions,
  ports: Ports,
  open: OpenOptions,
): OpenDatabase<Tx> {
  const schema = options.schema ?? driver.database
  if (schema === undefined)
    throw new WaybillError(
      'config.invalid',
      'the connections are in no database, so there is no place for the tables; name one in the URL, or as schema',
    )
  if (options.schema !== undefined && !schemaForm.test(options.schema))
    throw new WaybillError(
      'config.invalid',
      `the schema ${JSON.stringify(schema)} is refused: a letter or _, then up to 59 letters, digits, _ and -`,
    )
  return new OpenedMysql(driver, new StatementTexts(schema), ports, open)
}

class OpenedMysql<Tx> implements OpenDatabase<Tx> {
  readonly store: MysqlStore<Tx>
  readonly #driver: MyDriver<Tx> & Pooled
  readonly #texts: StatementTexts
  readonly #ports: Ports
  readonly #options: OpenOptions
  readonly #transactions: Transactions<Tx>
  readonly #notices = new Notices()
  #ready: Promise<void> | undefined
  #schema: { readonly before: number; readonly now: number } | undefined
  #epoch: string | undefined

  constructor(driver: MyDriver<Tx>, texts: StatementTexts, ports: Ports, options: OpenOptions) {
    this.#driver = driver
    this.#texts = texts
    this.#ports = ports
    this.#options = options
    this.#transactions = new Transactions(driver, texts, ports)
    this.store = new MysqlStore({
      ports,
      access: {
        read: new MyConnection(driver, texts),
        write: (work) => this.#transactions.write(work),
        snapshot: (work) => this.#transactions.snapshot(work),
        epoch: async () => {
          await this.ready()
          return this.#epoch!
        },
      },
      connectionOf: (tx) => {
        this.assertInTransaction(tx)
        return new MyConnection(this.#adopt(tx).runner, texts)
      },
      appended: (tx) => this.#appended(tx),
      watch: (changed) => {
        this.#driver.checkRoom?.()
        return this.#notices.watch(changed)
      },
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
    const driver = this.#driver as MyDriver<never>
    const connection = new MyConnection(driver, this.#texts)
    this.#texts.packetBytesMax = await checkSettings(connection)
    const before = await installedVersion(connection)
    if (this.#options.migrate === 'auto') {
      // It holds a lock on one connection, and changes the schema on another.
      if (before !== schemaVersion) this.#driver.checkRoom?.()
      await migrate(driver, this.#texts, this.#ports)
    } else await checkSchema(driver, this.#texts)
    this.#epoch = (await meta(connection, 'epoch'))!
    this.#schema = { before, now: await installedVersion(connection) }
  }

  assertInTransaction(tx: Tx): void {
    if (this.#transactions.of(tx as object)) return
    const isIn = this.#adopt(tx).isInTransaction()
    if (isIn === undefined)
      throw new WaybillError(
        'publish.handle-unknown',
        `this handle of ${this.#driver.name} cannot tell whether it is in a transaction; take it from the pool that Waybill was given, after that, or use waybill.transaction`,
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

  close(): Promise<void> {
    return this.#driver.close()
  }

  #adopt(tx: Tx): MyAdopted {
    const adopted = this.#driver.adopt(tx)
    if (adopted) return adopted
    throw new WaybillError(
      'publish.handle-unknown',
      `this is no handle of ${this.#driver.name} on one connection of this database, and whether it is in a transaction cannot be told; pass the handle that the business change is written with`,
    )
  }

  /** Readers are told once it is committed. */
  #appended(tx: Tx | undefined): void {
    if (tx === undefined) return this.#notices.tell()
    const own = this.#transactions.of(tx as object)
    if (own) own.afterCommit.push(() => this.#notices.tell())
    else this.#adopt(tx).onceEnded?.(() => this.#notices.tell())
  }
}
