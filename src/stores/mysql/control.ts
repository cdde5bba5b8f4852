import { WaybillError } from '../../core/errors.ts'

const token =
  /\s+|--(?=\s|$)[^\n]*|#[^\n]*|\/\*M?!\d*|\*\/|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^'\\]|\\[\s\S]|'')*'?|"(?:[^"\\]|\\[\s\S]|"")*"?|`(?:[^`]|``)*`?|[A-Za-z_@][\w$@.]*|[\s\S]/gy
/** What is in a comment that begins with an exclamation mark is run. */
const skipped = /^(?:\s|--|#|\/\*|\*\/)/
const control =
  /^(?:begin|commit|start (?:transaction|slave|replica)|xa|rollback(?! (?:(?:work )?to)\b)|set (?:\w+ )?(?:@@\S*)?autocommit|set (?:session |global |local )?transaction|lock|unlock|(?:alter|rename|truncate|grant|revoke|flush|analyze|optimize|repair|install|uninstall|prepare|execute)|(?:create|drop)(?! temporary)|(?:create or replace)(?! temporary))\b/
const wordsMax = 4

/** The first words of each statement of a text, in lower case: what it does, without reading on. */
function* statementsOf(sql: string): Generator<string> {
  let words: string[] = []
  for (const [text] of sql.matchAll(token)) {
    if (skipped.test(text)) continue
    if (text === ';') {
      if (words.length > 0) yield words.join(' ')
      words = []
    } else if (words.length < wordsMax) words.push(text.toLowerCase())
  }
  if (words.length > 0) yield words.join(' ')
}

/** Whether a text of one or several statements would begin or end a transaction, by itself or, as DDL does, on the side. */
export function controlsTransaction(sql: string): boolean {
  for (const statement of statementsOf(sql)) if (control.test(statement)) return true
  return false
}

/** What a handle that Waybill gave out may still do. */
export class Guard {
  /** Why the transaction cannot commit any more. Kept, because user code may catch what a statement threw. */
  failure: WaybillError | undefined
  isOver = false
  readonly #isInTransaction: () => boolean | undefined

  constructor(isInTransaction: () => boolean | undefined) {
    this.#isInTransaction = isInTransaction
  }

  /** @throws WaybillError `store.transaction-closed`, `store.transaction-control`, `store.busy` */
  check(sql: string): void {
    if (this.isOver)
      throw new WaybillError(
        'store.transaction-closed',
        'this transaction is over; use `tx` only until the handler or callback returns',
      )
    this.checkAlive()
    if (controlsTransaction(sql)) this.#refuse()
  }

  /**
   * For what ends the transaction, or the session with it, by another name.
   * @throws WaybillError `store.transaction-closed`, `store.transaction-control`
   */
  checkControl(): void {
    this.check('')
    this.#refuse()
  }

  #refuse(): never {
    this.failure = new WaybillError(
      'store.transaction-control',
      'statements that begin or end a transaction, or commit one on the side as DDL does, are refused inside a transaction of Waybill: it commits when the work returns and rolls back when it throws',
    )
    throw this.failure
  }

  /**
   * A deadlock or a wait for a lock may have rolled the transaction back: whatever came after would be committed one by one.
   * @throws WaybillError `store.busy`
   */
  checkAlive(): void {
    if (!this.failure && this.#isInTransaction() !== true)
      this.failure = new WaybillError(
        'store.busy',
        'the transaction was rolled back by the server after a deadlock or a wait for a lock, or ended by a statement; let such an error out of the handler',
      )
    if (this.failure) throw this.failure
  }
}
