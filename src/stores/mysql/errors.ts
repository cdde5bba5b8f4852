import { type ErrorCode, WaybillError, isWaybillError, reasonOf } from '../../core/errors.ts'
import { errorNumber } from './driver.ts'

interface Known {
  readonly code: ErrorCode
  readonly advice: string
}

const busy = (advice: string): Known => ({ code: 'store.busy', advice })
const locked = busy('another transaction holds a lock for too long; keep transactions short')
const taken = busy('all connections are taken; raise max_connections or make pools smaller')
const poolTaken = busy('all connections of the pool are taken; make it larger, or hold them for less long')
const poolTakenTexts = /^(?:No connections available|Queue limit reached)\.$/
const readOnly: Known = {
  code: 'store.read-only',
  advice: 'the server is a replica or read-only; connect to the primary',
}
const full: Known = {
  code: 'store.disk-full',
  advice: 'the disk is full; nothing was written; make room and try again',
}
const missing: Known = {
  code: 'store.schema-missing',
  advice: "create Waybill's tables: npx waybill migrate --database NAME=mysql://…",
}
const corrupt: Known = { code: 'store.corrupt', advice: 'a table is damaged; restore from a backup' }
/** The server went down under the statement, or the connection did. */
const lost: Known = { code: 'store.io', advice: 'the connection was lost; it is opened again' }
const tooLong = busy(
  'it took longer than max_statement_time or max_execution_time lets it; nothing was written',
)

const byNumber: Readonly<Record<number, Known>> = {
  1205: locked,
  // NOWAIT on MySQL; MariaDB answers 1205.
  3572: locked,
  1213: busy('it passes by itself; the work is tried again'),
  1020: busy('it passes by itself; the work is tried again'),
  1040: taken,
  1203: taken,
  1226: taken,
  1461: busy('the server holds too many prepared statements; raise max_prepared_stmt_count'),
  1290: readOnly,
  1792: readOnly,
  1836: readOnly,
  1021: full,
  1114: full,
  1026: full,
  1146: missing,
  1049: missing,
  1054: missing,
  1034: corrupt,
  1712: corrupt,
  1877: corrupt,
  1153: {
    code: 'store.unsafe-settings',
    advice: 'a message does not fit into a packet of this server; raise max_allowed_packet to 64M',
  },
  1053: lost,
  1077: lost,
  1152: lost,
  1927: lost,
  4031: lost,
  1317: busy('the statement was stopped by somebody'),
  // Of Waybill's own statements: see `codedOfWork`.
  1969: tooLong,
  3024: tooLong,
}
const ofOthersToo = new Set([1146, 1049, 1054])
const systemErrors =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|EAI_AGAIN|PROTOCOL_CONNECTION_LOST|PROTOCOL_SEQUENCE_TIMEOUT|POOL_CLOSED)$/
const lostTexts = /connection (is in closed state|lost)|closed the connection|pool is closed/i

/** An error of the driver as a coded one. Errors that already have a code, and those of the user's own SQL, stay as they are. */
export function coded(error: unknown): unknown {
  if (isWaybillError(error)) return error
  const server = ofServer(error)
  const known = knownOf(server)
  if (!known) return error
  return new WaybillError(
    known.code,
    `${reasonOf(server)}; ${known.advice}`,
    { errno: errorNumber(server) },
    { cause: error },
  )
}

/** That of a user's own work: a statement of theirs that takes too long is their failure, and passes by no trying again at once. */
export function codedOfWork(error: unknown): unknown {
  const number = errorNumber(ofServer(error))
  return number !== undefined && byNumber[number] === tooLong ? error : coded(error)
}

/** Drizzle wraps what its driver throws, and Waybill what Prisma throws; other errors with a cause are the user's own. */
function ofServer(error: unknown): unknown {
  const { query, cause } = (error ?? {}) as { readonly query?: unknown; readonly cause?: unknown }
  return typeof query === 'string' && cause instanceof Error ? cause : error
}

function knownOf(error: unknown): Known | undefined {
  const number = errorNumber(error)
  if (number === undefined) {
    if (poolTakenTexts.test(reasonOf(error))) return poolTaken
    return isConnectionLost(error) ? lost : undefined
  }
  // Also a table of the user's may be missing.
  if (ofOthersToo.has(number) && !/waybill_/.test(`${reasonOf(error)} ${sqlOf(error)}`)) return undefined
  return byNumber[number]
}

function sqlOf(error: unknown): string {
  const { sql } = error as { sql?: unknown }
  return typeof sql === 'string' ? sql : ''
}

/** Whether what the server made of the statement cannot be known. */
export function isConnectionLost(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown }
  if (typeof code === 'string' && systemErrors.test(code)) return true
  const number = errorNumber(error)
  return number === undefined ? lostTexts.test(reasonOf(error)) : byNumber[number] === lost
}

/** Whether the connection leads to a server that takes no writes: a new one may lead elsewhere. */
export function isReadOnly(error: unknown): boolean {
  const number = errorNumber(error)
  return number !== undefined && byNumber[number] === readOnly
}

/** A COMMIT that was not answered may have taken effect. */
export function codedAtCommit(error: unknown): unknown {
  const server = ofServer(error)
  if (isWaybillError(error) || !isConnectionLost(server)) return coded(error)
  return new WaybillError(
    'store.commit-unknown',
    `COMMIT was not answered (${reasonOf(server)}), so whether it took effect is open; look for the change before you repeat it`,
    {},
    { cause: error },
  )
}
