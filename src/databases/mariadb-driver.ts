import { WaybillError, reasonOf } from '../core/errors.ts'
import {
  type MyAnswer,
  type MyRow,
  type MyRunner,
  type MySession,
  type MyValue,
  errorNumber,
} from '../stores/mysql/driver.ts'

/** What is used of a pool of the package `mariadb`. */
export interface MariadbPool {
  getConnection(): Promise<MariadbConnection>
}
interface MariadbConnection {
  query(options: object): Promise<Answer>
  execute(options: object, values: readonly MyValue[]): Promise<Answer>
  release(): Promise<void>
  destroy(): void
  readonly info: { readonly status: number; readonly clientCapabilities: bigint }
}
type Answer = MyRow[] | { readonly affectedRows: number }

const inTransaction = 0x0001
const foundRows = 2n
/** From here on the numbers of errors are the library's own: the server said nothing. */
const ownErrors = 45_000

/** Rows as the store wants them, whatever the user has set for the pool. */
const plain = {
  rowsAsArray: false,
  nestTables: false,
  namedPlaceholders: false,
  bigIntAsNumber: true,
  insertIdAsNumber: true,
  decimalAsNumber: true,
  autoJsonMap: false,
  jsonStrings: true,
  bitOneIsBoolean: false,
  dateStrings: true,
  typeCast: (_: unknown, next: () => unknown) => next(),
}

/** A pool of the package `mariadb` for Waybill's own work. */
export class MariadbRunner implements MyRunner {
  readonly #pool: () => Promise<MariadbPool>

  constructor(pool: () => Promise<MariadbPool>) {
    this.#pool = pool
  }

  async query(text: string, params: readonly MyValue[]): Promise<MyAnswer> {
    const connection = await this.#take()
    const session = sessionOf(connection)
    try {
      const answer = await session.query(text, params)
      // The user's connections may be without autocommit: one statement is a transaction all the same.
      if (isIn(connection)) await session.query('commit', [])
      session.release()
      return answer
    } catch (error) {
      session.release(errorNumber(error) !== undefined && !isIn(connection) ? undefined : error)
      throw error
    }
  }

  async session(): Promise<MySession> {
    return sessionOf(await this.#take())
  }

  async #take(): Promise<MariadbConnection> {
    const connection = await translated(async () => (await this.#pool()).getConnection())
    if (connection.info.clientCapabilities & foundRows) return connection
    await connection.release()
    throw new WaybillError(
      'store.unsafe-settings',
      'the connections count rows that changed instead of those found; take foundRows: false out of the settings of the driver adapter',
    )
  }
}

function sessionOf(connection: MariadbConnection): MySession {
  return {
    query: (text, params) => ask(connection, text, params),
    release: (error) => {
      if (error === undefined) void connection.release().catch(() => {})
      else connection.destroy()
    },
  }
}

/** One statement, its values bound on the server. Those without any go as text: not all of them can be prepared. */
async function ask(
  connection: MariadbConnection,
  text: string,
  params: readonly MyValue[],
): Promise<MyAnswer> {
  const options = { sql: text, ...plain }
  const answer = await translated(() =>
    params.length === 0 ? connection.query(options) : connection.execute(options, params),
  )
  return Array.isArray(answer)
    ? { rows: answer, affected: answer.length }
    : { rows: [], affected: answer.affectedRows }
}

function isIn({ info }: MariadbConnection): boolean {
  return (info.status & inTransaction) !== 0
}

async function translated<R>(work: () => Promise<R>): Promise<R> {
  try {
    return await work()
  } catch (error) {
    const number = errorNumber(error)
    if (number === undefined || number < ownErrors) throw error
    throw lostConnection(error)
  }
}

/** As the store knows it from other libraries. */
export function lostConnection(cause: unknown): Error {
  return Object.assign(new Error(`the connection is lost: ${reasonOf(cause)}`, { cause }), {
    code: 'ECONNRESET',
  })
}
