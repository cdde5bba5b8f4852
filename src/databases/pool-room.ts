import { WaybillError } from '../core/errors.ts'

/**
 * Reading the log takes so many connections at the same moment: with fewer, one part would wait for what another holds for as long
 * as it runs. A pool that does not say how large it may become is taken as it is.
 * @throws WaybillError `config.invalid`
 */
export function assertRoom(connectionsMax: unknown, needed: number): void {
  if (typeof connectionsMax !== 'number' || connectionsMax >= needed) return
  throw new WaybillError(
    'config.invalid',
    `the pool has at most ${connectionsMax} connections, and an instance that is started needs ${needed}; leave it room for one per running handler and three more`,
    { connectionsMax, needed },
  )
}
