import { type ErrorCode, WaybillError, isWaybillError, reasonOf } from '../../core/errors.ts'
import type { SqliteDriver } from './driver.ts'

const byResultCode: Readonly<Record<number, { code: ErrorCode; advice: string }>> = {
  5: {
    code: 'store.busy',
    advice: 'another connection held the write lock for longer than the time-out; keep transactions short',
  },
  6: { code: 'store.busy', advice: 'a table was locked by another statement; keep transactions short' },
  8: {
    code: 'store.read-only',
    advice: 'the file, its folder or its mount is read-only; Waybill needs to write',
  },
  10: {
    code: 'store.io',
    advice: 'the disk or file system failed; look at the system log, then start again',
  },
  11: { code: 'store.corrupt', advice: 'the file is damaged; restore it from a backup' },
  13: {
    code: 'store.disk-full',
    advice: 'the disk, quota or page limit is full; nothing was written; make room and try again',
  },
  14: {
    code: 'store.io',
    advice: 'the file cannot be opened; does its folder exist, and may this user write there?',
  },
  26: { code: 'store.not-a-database', advice: 'the file is no SQLite database; check the path' },
}

/** An error of the driver as a coded one. Errors that already have a code, and those of the user's own SQL, stay as they are. */
export function coded(
  driver: SqliteDriver,
  error: unknown,
  facts: Readonly<Record<string, unknown>>,
): unknown {
  if (isWaybillError(error)) return error
  const known = byResultCode[(driver.resultCode(error) ?? 0) & 0xff]
  return known
    ? new WaybillError(known.code, `${reasonOf(error)}; ${known.advice}`, facts, { cause: error })
    : error
}

const ioError = 10

/** An I/O error at COMMIT may come before or after the frames that make it valid were written. */
export function codedAtCommit(driver: SqliteDriver, error: unknown): unknown {
  if (((driver.resultCode(error) ?? 0) & 0xff) !== ioError) return coded(driver, error, {})
  return new WaybillError(
    'store.commit-unknown',
    `COMMIT failed with an I/O error (${reasonOf(error)}), so whether it took effect is open; look for the change before you repeat it`,
    {},
    { cause: error },
  )
}
