import { type ErrorCode, WaybillError, isWaybillError, reasonOf } from '../../core/errors.ts'
import { sqlState } from './driver.ts'

interface Known {
  readonly code: ErrorCode
  readonly advice: string
}

const passes = 'it passes by itself; the work is tried again'
const byState: Readonly<Record<string, Known>> = {
  '40001': { code: 'store.busy', advice: passes },
  '40P01': { code: 'store.busy', advice: passes },
  '55P03': {
    code: 'store.busy',
    advice: 'another transaction holds a lock for too long; keep transactions short',
  },
  '53300': {
    code: 'store.busy',
    advice: 'all connections are taken; raise max_connections or make pools smaller',
  },
  // Of Waybill's own statements: see `codedOfWork`.
  '57014': {
    code: 'store.busy',
    advice: 'it took longer than statement_timeout lets it, or was cancelled; nothing was written',
  },
  '57P03': { code: 'store.io', advice: 'the server is starting or stopping' },
  '25006': {
    code: 'store.read-only',
    advice: 'the server is a standby or read-only; connect to the primary',
  },
  '53100': {
    code: 'store.disk-full',
    advice: 'the disk is full; nothing was written; make room and try again',
  },
  '42P01': {
    code: 'store.schema-missing',
    advice: "create Waybill's tables: npx waybill migrate --database NAME=postgres://…",
  },
  '42883': {
    code: 'store.schema-missing',
    advice: "create Waybill's functions: npx waybill migrate --database NAME=postgres://…",
  },
  '3F000': {
    code: 'store.schema-missing',
    advice: "create Waybill's schema: npx waybill migrate --database NAME=postgres://…",
  },
  XX001: { code: 'store.corrupt', advice: 'a page is damaged; restore from a backup' },
  XX002: { code: 'store.corrupt', advice: 'an index is damaged; rebuild it' },
}
/** By class: connection exceptions, and the server going down under the statement. */
const lost: Known = { code: 'store.io', advice: 'the connection was lost; it is opened again' }
const systemErrors =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|EAI_AGAIN|CONNECTION_\w+|CONNECT_TIMEOUT)$/
const lostTexts =
  /connection (terminated|ended|closed)|client has encountered a connection error|not queryable|server closed the connection/i

const poolTaken: Known = {
  code: 'store.busy',
  advice: 'all connections of the pool are taken; make it larger, or hold them for less long',
}
const poolTakenText = 'timeout exceeded when trying to connect'

/** An error of the driver as a coded one. Errors that already have a code, and those of the user's own SQL, stay as they are. */
export function coded(error: unknown): unknown {
  if (isWaybillError(error)) return error
  const server = ofServer(error)
  const known = knownOf(server)
  if (!known) return error
  return new WaybillError(
    known.code,
    `${reasonOf(server)}; ${known.advice}`,
    { sqlState: sqlState(server) },
    { cause: error },
  )
}

/** That of a user's own work: a statement of theirs that takes too long is their failure, and passes by no trying again at once. */
export function codedOfWork(error: unknown): unknown {
  return sqlState(ofServer(error)) === '57014' ? error : coded(error)
}

/** Drizzle wraps what its driver throws, in a message that has the parameters; other errors with a cause are the user's own. */
function ofServer(error: unknown): unknown {
  const { query, cause } = (error ?? {}) as { readonly query?: unknown; readonly cause?: unknown }
  return typeof query === 'string' && cause instanceof Error ? cause : error
}

function knownOf(error: unknown): Known | undefined {
  const state = sqlState(error)
  if (state !== undefined && !systemErrors.test(state)) {
    const ofWaybill = !['42P01', '42883', '3F000'].includes(state) || /waybill_/.test(reasonOf(error))
    if (byState[state]) return ofWaybill ? byState[state] : undefined
    return state.startsWith('08') || ['57P01', '57P02'].includes(state) ? lost : undefined
  }
  if (reasonOf(error) === poolTakenText) return poolTaken
  return isConnectionLost(error) ? lost : undefined
}

/** Whether what the server made of the statement cannot be known. */
export function isConnectionLost(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown }
  if (typeof code === 'string' && systemErrors.test(code)) return true
  const state = sqlState(error)
  if (state !== undefined) return state.startsWith('08') || state === '57P01' || state === '57P02'
  return lostTexts.test(reasonOf(error))
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
