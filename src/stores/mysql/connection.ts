import { WaybillError } from '../../core/errors.ts'
import type { SqlConnection } from '../sql/connection.ts'
import { dialect } from './dialect.ts'
import type { MyRow, MyRunner, MyValue } from './driver.ts'
import { coded } from './errors.ts'

/**
 * A runner with the store's way of writing SQL: `waybill_…` is whatever lies in Waybill's database, which is named in every statement,
 * so that a USE of the user's changes nothing; `waybill_now()` is the server's clock.
 */
export class MyConnection implements SqlConnection {
  readonly dialect = dialect
  readonly #runner: MyRunner
  readonly #texts: StatementTexts

  constructor(runner: MyRunner, texts: StatementTexts) {
    this.#runner = runner
    this.#texts = texts
  }

  get schema(): string {
    return this.#texts.schema
  }

  async all(sql: string, ...params: readonly MyValue[]): Promise<readonly MyRow[]> {
    return (await this.#query(sql, params)).rows
  }

  /** Answers the number of rows inserted or deleted, or of an UPDATE those that matched. */
  async run(sql: string, ...params: readonly MyValue[]): Promise<number> {
    return (await this.#query(sql, params)).affected
  }

  async #query(sql: string, params: readonly MyValue[]): ReturnType<MyRunner['query']> {
    this.#texts.checkSize(params)
    try {
      return await this.#runner.query(this.#texts.of(sql), params)
    } catch (error) {
      throw coded(error)
    }
  }
}

/** Below this nothing is measured: each character takes three bytes at most. */
const smallLength = 100_000
/** What a packet holds besides the values. */
const packetMargin = 64 * 1024

/** Turns the store's SQL into the server's, each text once. */
export class StatementTexts {
  readonly schema: string
  /** Known once the database is ready. */
  packetBytesMax = Number.POSITIVE_INFINITY
  readonly #known = new Map<string, string>()

  constructor(schema: string) {
    this.schema = schema
  }

  of(sql: string): string {
    let text = this.#known.get(sql)
    if (text === undefined) {
      text = inSchema(sql, this.schema)
      this.#known.set(sql, text)
    }
    return text
  }

  /**
   * The server would answer a larger packet by cutting the connection, in the middle of what it is being sent.
   * @throws WaybillError `store.unsafe-settings`
   */
  checkSize(params: readonly MyValue[]): void {
    let bytes = 0
    for (const value of params) {
      if (typeof value === 'string')
        bytes += value.length < smallLength ? value.length * 3 : Buffer.byteLength(value)
      else if (value instanceof Uint8Array) bytes += value.byteLength
    }
    if (bytes + packetMargin <= this.packetBytesMax) return
    throw new WaybillError(
      'store.unsafe-settings',
      `${bytes} bytes are more than a packet of this server holds; raise max_allowed_packet, now ${this.packetBytesMax}, to 64M`,
      { bytes, packetBytesMax: this.packetBytesMax },
    )
  }
}

/**
 * Milliseconds since 1970 by the server's clock, at the statement's begin. From UTC: an hour of each year exists twice in local time.
 * An expression, since creating functions takes rights that are not given everywhere.
 */
const now = "(timestampdiff(microsecond, '1970-01-01', utc_timestamp(6)) div 1000)"

/** Qualifies every name that begins with `waybill_`. */
export function inSchema(sql: string, schema: string): string {
  const quoted = `\`${schema.replaceAll('`', '``')}\``
  return sql.replaceAll('waybill_now()', now).replaceAll(/(?<![\w"'.`])waybill_(?=\w)/g, `${quoted}.waybill_`)
}
