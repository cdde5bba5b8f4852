/** What a test file asks first: is there such a server, or why are its tests skipped? */
import { meansMissing } from './errors.ts'
import { kinds } from './kinds.ts'
import { type Say, ensureInstalled, versionOf } from './server.ts'
import { startService } from './shared.ts'
import { type ServerName, type ServiceName, withLock } from './state.ts'

export interface Skipped {
  readonly skipped: string
}

/**
 * The URL of the shared server, started if need be, or why there is none. A server that is there and does not work is no
 * reason to skip: that throws.
 */
export function serviceUrl(
  name: ServiceName,
  say: Say = () => {},
): Promise<{ readonly url: string } | Skipped> {
  return orSkipped(async () => ({ url: (await startService(name, say)).url }))
}

/**
 * `serviceUrl` for test files: prints why tests are skipped, and throws instead where WAYBILL_REQUIRE_ALL=1 says that this
 * machine has all that the tests need.
 */
export function requireService(name: ServiceName): Promise<{ readonly url: string } | Skipped> {
  return required(name, serviceUrl(name, sayWithName(name)))
}

/** The same for test files that start private servers only: a server of the user's, on another machine, is no help to them. */
export function requireInstalled(name: ServerName): Promise<{ readonly version: string } | Skipped> {
  const say = sayWithName(name)
  const install = (): Promise<{ version: string }> =>
    withLock('install', say, async () => ({ version: versionOf(await ensureInstalled(kinds[name], say)) }))
  return required(name, orSkipped(install))
}

async function orSkipped<T>(find: () => Promise<T>): Promise<T | Skipped> {
  try {
    return await find()
  } catch (error) {
    if (meansMissing(error)) return { skipped: error.message }
    throw error
  }
}

async function required<T extends object>(
  name: ServerName,
  looked: Promise<T | Skipped>,
): Promise<T | Skipped> {
  const found = await looked
  if (!('skipped' in found)) return found
  if (process.env['WAYBILL_REQUIRE_ALL'] === '1')
    throw new Error(`WAYBILL_REQUIRE_ALL=1, but there is no ${name}: ${found.skipped}`)
  console.log(`tests are skipped, no ${name}: ${found.skipped}`)
  return found
}

const sayWithName =
  (name: ServerName): Say =>
  (line) =>
    console.log(`${name}: ${line}`)
