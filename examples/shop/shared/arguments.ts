import { join } from 'node:path'
import { parseArgs } from 'node:util'

export interface ServiceArguments {
  /** The folder of the database files; each service opens its own. */
  readonly folder: string
  /** Which life of this process it is, 1 at first. Written beside every effect. */
  readonly incarnation: number
  readonly group: string
  readonly port: number
  readonly brokerUrl: string
  /** Where a service with Waybill has its database; 'broker' is one like the others. */
  databaseUrl(service: string): string
}

/**
 * The environment variable with the URL of all databases, in which `{service}` stands for the service's name: `postgres://…/shop_{service}`.
 * No argument: those of a process are there for everybody on the machine to read, and the URL may have a password in it.
 */
export const databasesVariable = 'SHOP_DATABASES'

export function filesIn(folder: string): string {
  return `sqlite:${join(folder, '{service}.db')}`
}

export function databaseUrlOf(databases: string, service: string): string {
  return databases.replace('{service}', service)
}

/** One set of arguments for all services, so that the two sides are started alike; a service reads what it needs. */
export function serviceArguments(): ServiceArguments {
  const { values } = parseArgs({
    options: {
      folder: { type: 'string', default: '.' },
      incarnation: { type: 'string', default: '1' },
      group: { type: 'string', default: '' },
      port: { type: 'string', default: '0' },
      'broker-url': { type: 'string', default: '' },
    },
  })
  const databases = process.env[databasesVariable] ?? filesIn(values.folder)
  return {
    folder: values.folder,
    incarnation: Number(values.incarnation),
    group: values.group,
    port: Number(values.port),
    brokerUrl: values['broker-url'],
    databaseUrl: (service) => databaseUrlOf(databases, service),
  }
}
