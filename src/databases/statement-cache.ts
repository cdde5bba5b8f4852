const kept = 256

/** Prepared statements by their text, the least recently used dropped: preparing costs more than most statements take. */
export class StatementCache<Statement> {
  readonly #prepare: (sql: string) => Statement
  readonly #statements = new Map<string, Statement>()

  constructor(prepare: (sql: string) => Statement) {
    this.#prepare = prepare
  }

  of(sql: string): Statement {
    let statement = this.#statements.get(sql)
    if (statement !== undefined) return statement
    if (this.#statements.size >= kept) this.#statements.delete(this.#statements.keys().next().value!)
    statement = this.#prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }
}
