const token =
  /\s+|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*'?|"(?:[^"]|"")*"?|`(?:[^`]|``)*`?|\[[^\]]*\]?|[A-Za-z_][\w$]*|[\s\S]/gy
const word = /^[a-z_]/
const skipped = /^(?:\s|--|\/\*)/

/** The first words of each statement of a script, in lower case: what it does, without reading on. */
export function* statementsOf(sql: string): Generator<string> {
  let words: string[] = []
  let cases = 0
  let inTrigger = false
  for (const [text] of sql.matchAll(token)) {
    if (skipped.test(text)) continue
    const lower = text.toLowerCase()
    // A trigger's body has semicolons of its own; it lasts to an END that closes no CASE.
    if (inTrigger && lower === 'case') cases++
    else if (inTrigger && lower === 'end' && cases > 0) cases--
    else if (inTrigger && lower === 'end') inTrigger = false
    if (lower === ';' && !inTrigger) {
      if (words.length > 0) yield words.join(' ')
      words = []
    } else if (words.length < wordsMax && lower !== ';') {
      words.push(word.test(lower) ? lower : '?')
      inTrigger ||= createsTrigger.test(words.join(' '))
    }
  }
  if (words.length > 0) yield words.join(' ')
}

const wordsMax = 3
const createsTrigger = /^create (?:temp |temporary )?trigger$/
const control = /^(?:begin|commit|end|rollback(?! (?:transaction )?to\b)|attach|detach)\b/

/** Whether a script would begin or end a transaction, or bring in a file that does not commit together with this one (P11). */
export function controlsTransaction(sql: string): boolean {
  for (const statement of statementsOf(sql)) if (control.test(statement)) return true
  return false
}
