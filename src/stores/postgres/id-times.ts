/**
 * Ids are UUIDv7: they begin with the milliseconds at which they were made, which is when their message was published. So the index of
 * ids is one of times too, and the log needs no other: one more would cost every publisher 64 bytes of WAL and a hundredth of their
 * transaction. Where the id tells another time (a clock that was set back, an id that was made elsewhere) the row is a stray, and those few have
 * an index by time of their own.
 */
const slackMs = 3_600_000

/** The first eight digits count in steps of 2^16 milliseconds, about a minute. */
const stepBits = 16
const stepMs = 2 ** stepBits

const stepsAt = (row: string, offset: string): string =>
  `lpad(to_hex((${row}published_at ${offset}) >> ${stepBits}), 8, '0')`

/** Whether the id of a row tells another time than its `published_at`. The same text in the index and in whoever asks it. */
export function isStray(alias?: string): string {
  const row = alias === undefined ? '' : `${alias}.`
  return `(left(${row}id, 8) < ${stepsAt(row, `- ${slackMs}`)} or left(${row}id, 8) > ${stepsAt(row, `+ ${slackMs}`)})`
}

/** No row before this time has an id from here on, and none from it on one before, by so much at most; strays excepted. */
export function idsFrom(sinceMs: number): string {
  return idAt(sinceMs - slackMs - stepMs)
}

export function idsUntil(untilMs: number): string {
  return idAt(untilMs + slackMs + stepMs)
}

/** Ids that were made elsewhere, of which most lie beyond, must not be walked through. */
const farthestMs = Date.UTC(2200, 0)

/** The least id of a millisecond. */
function idAt(ms: number): string {
  const digits = Math.min(Math.max(ms, 0), farthestMs).toString(16).padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}`
}
