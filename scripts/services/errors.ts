/** Codes are stable: programs and tests branch on them. docs/how-to/run-the-servers.md has one line for each. */
export const serviceErrorCodes = [
  'services.not-installed',
  'services.install-failed',
  'services.start-failed',
  'services.stop-failed',
  'services.unreachable',
  'services.folder-unsafe',
  'services.still-running',
] as const

export type ServiceErrorCode = (typeof serviceErrorCodes)[number]

export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly code: ServiceErrorCode

  /** @param message what was wrong and what to do about it */
  constructor(code: ServiceErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options)
    this.code = code
  }
}

/** What the machine lacks is a reason to skip a test; a server that is there and does not work is a fault. */
export function meansMissing(error: unknown): error is ServiceError {
  return (
    error instanceof ServiceError &&
    (error.code === 'services.not-installed' || error.code === 'services.install-failed')
  )
}
