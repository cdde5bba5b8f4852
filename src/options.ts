import type { Database } from './core/database.ts'
import { type Duration, milliseconds } from './core/duration.ts'
import { WaybillError } from './core/errors.ts'
import type { Log } from './core/log.ts'
import { checkServiceName } from './core/names.ts'
import type { Ports } from './core/ports.ts'
import type { Transport } from './core/transport.ts'
import { bodyBytesDefault, bodyBytesMax } from './publish/limits.ts'

export interface WaybillOptions<Tx, Mode extends 'sync' | 'async'> {
  /** This service's name: a lower-case letter, then up to 99 of a-z, 0-9, '.', '_', '-'. All its instances use the same. */
  readonly service: string
  /** Where the service's business data lives: the log is in the same database. */
  readonly database: Database<Tx, Mode>
  /** How messages reach other services' databases. Left out: this database is also the broker. */
  readonly transport?: Transport
  /** How long a silent instance keeps its queues, in ms. 1000 to 300 000, default 10 000. */
  readonly leaseMs?: number
  /** Messages older than this are not run. They and their receipts are dropped a day later, once every reader has passed them. Default '30d'. */
  readonly retention?: Duration
  /** Largest body in bytes; default 1 MiB, at most 4 MiB. */
  readonly bodyBytesMax?: number
  /** 'auto' applies missing migrations when the database is opened (default on SQLite), 'check' refuses to start without them. */
  readonly migrate?: 'auto' | 'check'
  /** pino's interface. Default: warnings and errors as JSON lines on standard error. */
  readonly log?: Log
  /** For tests and simulation only: time, chance, ids. */
  readonly ports?: Partial<Ports>
}

export interface WaybillSettings {
  readonly leaseMs: number
  readonly retentionMs: number
  readonly bodyBytesMax: number
  readonly migrate: 'auto' | 'check'
}

const known = new Set([
  'service',
  'database',
  'transport',
  'leaseMs',
  'retention',
  'bodyBytesMax',
  'migrate',
  'log',
  'ports',
])

/** @throws WaybillError `config.invalid`, `duration.invalid` */
export function settingsOf(options: WaybillOptions<never, 'sync' | 'async'>): WaybillSettings {
  if (typeof options !== 'object' || options === null)
    refuse('new Waybill needs options with at least a service and a database')
  for (const name of Object.keys(options))
    if (!known.has(name))
      refuse(`the option ${JSON.stringify(name)} is unknown; known are ${[...known].join(', ')}`)
  checkServiceName(options.service)
  if (typeof options.database?.open !== 'function')
    refuse("database must be one of Waybill's database handles, such as sqlite('order.db')")
  if (options.transport !== undefined && typeof options.transport.open !== 'function')
    refuse("transport must be one of Waybill's transports, such as databaseTransport({ database })")
  const {
    leaseMs = 10_000,
    retention = '30d',
    migrate = options.database?.dialect === 'sqlite' ? 'auto' : 'check',
  } = options
  if (!(leaseMs >= 1_000 && leaseMs <= 300_000)) refuse('leaseMs must be from 1000 to 300000')
  if (migrate !== 'auto' && migrate !== 'check') refuse("migrate must be 'auto' or 'check'")
  const bodies = options.bodyBytesMax ?? bodyBytesDefault
  if (!(Number.isInteger(bodies) && bodies >= 1 && bodies <= bodyBytesMax))
    refuse(`bodyBytesMax must be from 1 to ${bodyBytesMax}`)
  return { leaseMs, retentionMs: milliseconds(retention), bodyBytesMax: bodies, migrate }
}

function refuse(what: string): never {
  throw new WaybillError('config.invalid', what)
}
