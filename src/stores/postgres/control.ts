import { WaybillError } from '../../core/errors.ts'

const token =
  /\s+|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\$(\w*)\$[\s\S]*?(?:\$\1\$|$)|[eE]'(?:[^'\\]|\\[\s\S]|'')*'?|'(?:[^']|'')*'?|"(?:[^"]|"")*"?|[A-Za-z_][\w$]*|[\s\S]/gy
const skipped = /^(?:\s|--|\/\*)/
const control =
  /^(?:begin|commit|end|abort|start transaction|prepare transaction|rollback(?! (?:(?:work|transaction) )?to\b))\b/
const wordsMax = 3

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

/** Whether a text of one or several statements would begin or end a transaction. */
export function controlsTransaction(sql: string): boolean {
  for (const statement of statementsOf(sql)) if (control.test(statement)) return true
  return false
}

/** What a handle that Waybill gave out may still do. */
export class Guard {
  /** Why the transaction cannot commit any more. Kept, because user code may catch what a statement threw. */
  failure: WaybillError | undefined
  isOver = false

  /** @throws WaybillError `store.transaction-closed`, `store.transaction-control` */
  check(sql: string): void {
    this.checkOpen()
    if (!controlsTransaction(sql)) return
    this.failure = new WaybillError(
      'store.transaction-control',
      'BEGIN, COMMIT, END, ROLLBACK and the like are refused inside a transaction of Waybill: it commits when the work returns and rolls back when it throws',
    )
    throw this.failure
  }

  /** @throws WaybillError `store.transaction-closed` */
  checkOpen(): void {
    if (this.isOver)
      throw new WaybillError(
        'store.transaction-closed',
        'this transaction is over; use `tx` only until the handler or callback returns',
      )
  }
}

/** After the work: lets through only the COMMIT or ROLLBACK of the tool itself. */
export class EndingGuard extends Guard {
  override isOver = true

  override check(sql: string): void {
    if (!/^(?:commit|rollback);?$/i.test(sql.trim())) super.check(sql)
  }
}
