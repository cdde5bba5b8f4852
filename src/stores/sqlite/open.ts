import { existsSync, statSync } from 'node:fs'
import type { OpenDatabase, OpenOptions } from '../../core/database.ts'
import { WaybillError, isWaybillError } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import type { SqlValue, SqliteConnection, SqliteDriver, SqliteTx } from './driver.ts'
import { coded } from './errors.ts'
import { checkSchema, installedVersion, meta, migrate } from './migrate.ts'
import { SqliteStore, noTransaction } from './store.ts'
import { Transactions } from './transactions.ts'
import { WalWatch } from './wal-watch.ts'
import { assertOneLibrary, turnOf } from './write-turn.ts'

const busyTimeoutMs = 10_000
const synchronousFull = 2
const walTriesMax = 100

/** Opens a SQLite file as a Waybill database, through any of the three libraries. */
export function openSqlite(
  driver: SqliteDriver,
  path: string,
  ports: Ports,
  options: OpenOptions,
): OpenDatabase<SqliteTx> {
  if (options.migrate === 'check' && !existsSync(path)) {
    throw new WaybillError(
      'store.schema-missing',
      `there is no file ${path}; check the path, or create the database with: npx waybill migrate --database NAME=sqlite:${path}`,
      { path },
    )
  }
  assertOneLibrary(path, driver.name)
  let writer: SqliteConnection | undefined
  try {
    writer = connect(driver, path, false)
    const before = installedVersion(writer)
    if (options.migrate === 'auto') migrate(writer, ports)
    else checkSchema(writer, path)
    assertWritable(writer)
    const reader = connect(driver, path, true)
    return assemble(driver, path, ports, { before, now: installedVersion(writer) }, writer, reader)
  } catch (error) {
    writer?.close()
    throw openFailed(driver, error, path)
  }
}

function openFailed(driver: SqliteDriver, error: unknown, path: string): unknown {
  const failed = coded(driver, error, { path })
  const cannotOpen = isWaybillError(error, 'store.io') || ((driver.resultCode(error) ?? 0) & 0xff) === 14
  // SQLite cannot open what it may not create the files beside of, and tells no more.
  if (!cannotOpen || !statSync(path, { throwIfNoEntry: false })?.isFile()) return failed
  return new WaybillError(
    'store.read-only',
    `${path} is there but cannot be opened for writing: it, its folder or its mount is read-only, or another user's`,
    { path },
    { cause: error },
  )
}

/** A read-only file opens, and BEGIN IMMEDIATE takes it: only a write tells. */
function assertWritable(connection: SqliteConnection): void {
  connection.exec('begin immediate')
  try {
    connection.run("update waybill_meta set value = value where name = 'epoch'")
  } finally {
    if (connection.isTransaction) connection.exec('rollback')
  }
}

function assemble(
  driver: SqliteDriver,
  path: string,
  ports: Ports,
  schema: OpenDatabase<SqliteTx>['schema'],
  writer: SqliteConnection,
  reader: SqliteConnection,
): OpenDatabase<SqliteTx> {
  const { turn, leave } = turnOf(path, driver.name)
  const transactions = new Transactions(writer, turn, driver, ports)
  const adopted = new AdoptedHandles(driver, meta(reader, 'epoch'))
  const connectionOf = (tx: SqliteTx): SqliteConnection =>
    transactions.of(tx)?.open() ?? adopted.connectionOf(tx)
  const watchers = new Set<() => void>()
  let closed = false
  const store = new SqliteStore({
    ports,
    reader,
    transactions,
    connectionOf,
    watch: (changed) => {
      const watch = new WalWatch(reader, ports, path, changed)
      watch.start()
      const stop = (): void => {
        watch.stop()
        watchers.delete(stop)
      }
      watchers.add(stop)
      return stop
    },
    coded: (error) => coded(driver, error, { path }),
  })
  return {
    store,
    ready: async () => {},
    schema,
    assertInTransaction: (tx) => {
      const transaction = transactions.of(tx)
      if (transaction) transaction.assertUsable()
      else if (!adopted.connectionOf(tx).isTransaction) throw noTransaction()
    },
    transaction: (stages) => transactions.run(stages),
    afterCommit: (tx, work) => {
      const transaction = transactions.of(tx)
      if (!transaction)
        throw new WaybillError(
          'publish.after-commit-unsupported',
          'afterCommit needs a transaction that Waybill opened (waybill.transaction or a handler): of others it cannot know whether they committed',
        )
      transaction.assertUsable()
      transaction.afterCommit.push(work)
    },
    close: async () => {
      if (closed) return
      closed = true
      for (const stop of watchers) stop()
      leave()
      reader.close()
      writer.close()
    },
  }
}

/** WAL and synchronous=FULL on every connection, and read back: some builds silently run WAL at NORMAL and lose commits at a power cut. */
function connect(driver: SqliteDriver, path: string, readOnly: boolean): SqliteConnection {
  const connection = driver.connect(path, { readOnly, busyTimeoutMs })
  try {
    connection.exec(`pragma busy_timeout = ${busyTimeoutMs}`)
    if (readOnly) connection.exec('pragma query_only = on')
    else useWal(driver, connection, path)
    connection.exec('pragma synchronous = full')
    assertFull(connection, path)
    return connection
  } catch (error) {
    connection.close()
    throw error
  }
}

function useWal(driver: SqliteDriver, connection: SqliteConnection, path: string): void {
  const mode = switchToWal(driver, connection)
  if (mode !== 'wal') {
    throw new WaybillError(
      'store.unsafe-settings',
      `${path} cannot use write-ahead logging (journal_mode is ${String(mode)}); Waybill needs a file on a local disk`,
      { path, journalMode: mode },
    )
  }
}

/** The switch does not wait for another process that is switching: SQLite answers busy at once. BEGIN does wait, so try after it. */
function switchToWal(driver: SqliteDriver, connection: SqliteConnection): SqlValue | undefined {
  for (let tries = 1; ; tries++) {
    try {
      return connection.all('pragma journal_mode = wal')[0]?.['journal_mode']
    } catch (error) {
      if (tries === walTriesMax || !isWaybillError(coded(driver, error, {}), 'store.busy')) throw error
      connection.exec('begin immediate')
      connection.exec('rollback')
    }
  }
}

function assertFull(connection: SqliteConnection, path: string): void {
  const synchronous = connection.all('pragma synchronous')[0]?.['synchronous'] as number
  if (synchronous >= synchronousFull) return
  throw new WaybillError(
    'store.unsafe-settings',
    `a connection to ${path} runs with synchronous=${synchronous}, which loses commits at a power cut; run "pragma synchronous = full" on it before the transaction`,
    { synchronous },
  )
}

/** Users' own handles, each looked at once. */
class AdoptedHandles {
  readonly #driver: SqliteDriver
  readonly #epoch: string | undefined
  readonly #connections = new WeakMap<object, SqliteConnection>()

  constructor(driver: SqliteDriver, epoch: string | undefined) {
    this.#driver = driver
    this.#epoch = epoch
  }

  connectionOf(tx: unknown): SqliteConnection {
    const handle = typeof tx === 'object' && tx !== null ? tx : undefined
    const known = handle && this.#connections.get(handle)
    if (known) return known
    const connection = handle && this.#driver.adopt(handle)
    if (!handle || !connection) {
      throw new WaybillError(
        'publish.handle-unknown',
        `this is no handle of ${this.#driver.name}, and whether it is in a transaction cannot be told; pass the handle that the business change is written with`,
      )
    }
    // The log must be in the file of the business change, or they would not commit together (P11).
    if (installedVersion(connection) === 0 || meta(connection, 'epoch') !== this.#epoch) {
      throw new WaybillError(
        'publish.handle-unknown',
        'this handle is on another file than the Waybill that is to publish; pass the handle that the business change is written with, on the same file',
      )
    }
    assertFull(connection, 'the handle given to publish')
    this.#connections.set(handle, connection)
    return connection
  }
}
