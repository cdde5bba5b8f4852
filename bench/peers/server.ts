import { Client } from 'pg'
import {
  type PrivateServer,
  type ServiceName,
  freshDatabase,
  removeService,
  requireInstalled,
  startPrivateService,
} from '../../scripts/services/index.ts'
import type { Run } from '../harness/bench.ts'
import { UsageError } from '../harness/usage-error.ts'

/** What is set besides the durable settings of `scripts/services`. */
export const serverSettings = {
  shared_buffers: '1GB',
  // No checkpoint in the middle of somebody's turn: there is one before each.
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
}

export const mariadbSettings = {
  'innodb-buffer-pool-size': '1G',
  // As above.
  'innodb-log-file-size': '4G',
}

const settingsOf: Readonly<Record<ServiceName, Readonly<Record<string, string>>>> = {
  postgres: serverSettings,
  mariadb: mariadbSettings,
}

/** Of the servers that were started. */
export const serverVersions: Partial<Record<ServiceName, string>> = {}

/** The one server that all contestants share: private, durable. */
export function server(run: Run, service: ServiceName = 'postgres'): Promise<PrivateServer> {
  return run.shared(`peers: ${service}`, async () => {
    const found = await requireInstalled(service)
    if ('skipped' in found) throw new UsageError(`this measure needs ${service}: ${found.skipped}`)
    serverVersions[service] = found.version
    const started = await startPrivateService(service, { settings: settingsOf[service] })
    run.atEnd(() => removeService(started))
    return started
  })
}

/** Works in an empty database of its own, after a checkpoint, so that nobody pays for what others wrote before. */
export async function inFreshDatabase<T>(
  run: Run,
  service: ServiceName,
  work: (url: string) => Promise<T>,
): Promise<T> {
  const { url } = await server(run, service)
  await using database = await freshDatabase(service, url)
  if (service === 'postgres') await execute(url, 'checkpoint')
  return await work(database.url)
}

/** One PostgreSQL statement, or several, on a connection of its own. */
export async function execute(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}
