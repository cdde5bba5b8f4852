import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { openUrl } from '../databases/open.ts'
import { Waybill, WaybillError } from '../index.ts'

/** A tool asks and waits, whatever the database can do. */
export type AnyWaybill = Waybill<any, 'sync' | 'async'>

/** A database that a command works on. */
export interface Target {
  readonly name: string
  readonly url: string
}

const configFiles = ['waybill.config.ts', 'waybill.config.js', 'waybill.config.mjs']

/**
 * The databases named on the command line (`--database order=sqlite:order.db`, repeated), else those of waybill.config.ts.
 * @throws WaybillError `config.invalid`
 */
export async function targets(given: readonly string[]): Promise<readonly Target[]> {
  const found = given.length > 0 ? given.map(parse) : await fromConfig()
  if (found.length > 0) return found
  throw new WaybillError(
    'config.invalid',
    'no database is named; give --database NAME=sqlite:PATH, or write waybill.config.ts with: export default { databases: { order: "sqlite:order.db" } }',
  )
}

/** Opens a target without starting anything, runs `work` and closes it. */
export async function withTarget<R>(
  target: Target,
  migrate: 'auto' | 'check',
  work: (waybill: AnyWaybill) => Promise<R>,
): Promise<R> {
  const waybill = new Waybill({ service: 'waybill-cli', database: openUrl(target.url), migrate })
  try {
    return await work(waybill)
  } finally {
    await waybill.stop()
  }
}

function parse(text: string): Target {
  const at = text.indexOf('=')
  if (at > 0) return { name: text.slice(0, at), url: text.slice(at + 1) }
  throw new WaybillError(
    'config.invalid',
    `--database ${JSON.stringify(text)} is refused; write NAME=URL, such as order=sqlite:order.db`,
  )
}

async function fromConfig(): Promise<readonly Target[]> {
  const file = configFiles.map((name) => resolve(name)).find((path) => existsSync(path))
  if (file === undefined) return []
  const loaded = (await import(pathToFileURL(file).href)) as { default?: { databases?: unknown } }
  const databases = loaded.default?.databases
  if (typeof databases !== 'object' || databases === null)
    throw new WaybillError(
      'config.invalid',
      `${file} must export default { databases: { name: 'sqlite:path' } }`,
    )
  return Object.entries(databases).map(([name, url]) => ({ name, url: String(url) }))
}
