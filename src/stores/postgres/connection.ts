import type { SqlConnection } from '../sql/connection.ts'
import { dialect } from './dialect.ts'
import { coded } from './errors.ts'
import type { PgRow, PgRunner, PgValue } from './driver.ts'

/**
 * A runner with the store's way of writing SQL: `?` for parameters, and `waybill_…` for whatever lies in Waybill's schema, which is
 * named in every statement, because no session state survives a pooler in transaction mode.
 */
export class PgConnection implements SqlConnection {
  readonly dialect = dialect
  readonly #runner: PgRunner
  readonly #texts: StatementTexts

  constructor(runner: PgRunner, texts: StatementTexts) {
    this.#runner = runner
    this.#texts = texts
  }

  get schema(): string {
    return this.#texts.schema
  }

  async all(sql: string, ...params: readonly PgValue[]): Promise<readonly PgRow[]> {
    return (await this.#query(sql, params)).rows
  }

  /** Answers the number of rows changed. */
  async run(sql: string, ...params: readonly PgValue[]): Promise<number> {
    return (await this.#query(sql, params)).affected
  }

  async #query(sql: string, params: readonly PgValue[]): ReturnType<PgRunner['query']> {
    try {
      return await this.#runner.query(this.#texts.of(sql), params)
    } catch (error) {
      throw coded(error)
    }
  }
}

/** Turns the store's SQL into PostgreSQL's, each text once. */
export class StatementTexts {
  readonly schema: string
  readonly #known = new Map<string, string>()

  constructor(schema: string) {
    this.schema = schema
  }

  of(sql: string): string {
    let text = this.#known.get(sql)
    if (text === undefined) {
      let count = 0
      text = inSchema(sql, this.schema).replaceAll('?', () => `$${++count}`)
      this.#known.set(sql, text)
    }
    return text
  }
}

/** Qualifies every name that begins with `waybill_`. */
export function inSchema(sql: string, schema: string): string {
  return sql.replaceAll(/(?<![\w".])waybill_(?=\w)/g, `"${schema}".waybill_`)
}
