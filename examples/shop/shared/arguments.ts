import { parseArgs } from 'node:util'

export interface ServiceArguments {
  /** The folder of all database files; each service opens its own. */
  readonly folder: string
  /** Which life of this process it is, 1 at first. Written beside every effect. */
  readonly incarnation: number
  readonly group: string
  readonly port: number
  readonly brokerUrl: string
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
  return {
    folder: values.folder,
    incarnation: Number(values.incarnation),
    group: values.group,
    port: Number(values.port),
    brokerUrl: values['broker-url'],
  }
}
