/**
 * Ids are UUIDv7: they begin with the millisecond in which their message was published. So the index of ids is one of times too, and
 * the log needs no other, for which every publisher would pay. Where the id tells another time (a clock that was set back, an id that
 * was made elsewhere) the row is a stray, and those few have an index by time of their own.
 */
const farthestMs = Date.UTC(2200, 0)

/** Whether the id of a row tells another time than its `published_at`. The same text in the index and in whoever asks it. */
export function isStray(alias?: string): string {
  const row = alias === undefined ? '' : `${alias}.`
  return `(left(${row}id, 8) || substr(${row}id, 10, 4) <> lpad(to_hex(${row}published_at), 12, '0')
    or ${row}published_at < 0 or ${row}published_at >= ${farthestMs})`
}

/**
 * The least id of a millisecond, or of the nearest one whose rows are no strays: most ids that were made elsewhere lie beyond, and
 * must not be walked through.
 */
export function idAt(ms: number): string {
  const digits = Math.min(Math.max(ms, 0), farthestMs).toString(16).padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}`
}
