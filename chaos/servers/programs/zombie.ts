/**
 * An instance of the group that stands still in the middle of an effect's transaction, as a process does that the system stops or
 * whose machine is frozen: its connections stay open, and it says nothing more. `at` says where.
 */
import { readFileSync } from 'node:fs'
import { Waybill } from 'waybill'
import type { ServiceName } from '../../../scripts/services/index.ts'
import { silentLog } from '../../../src/core/log.ts'
import { systemPorts } from '../../../src/system.ts'
import { handleOf } from '../harness/handles.ts'
import { OrderPaid, group, leaseMs } from '../harness/shop.ts'

export interface ZombieConfig {
  readonly name: ServiceName
  readonly url: string
  /** In the handler, after its effect; or when all is done but the COMMIT. */
  readonly at: 'consume.claimed-not-handled' | 'consume.handled-not-committed'
}

const { name, url, at } = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as ZombieConfig
const handle = handleOf(name, url)
const instance = new Waybill({
  service: 'order',
  database: handle.database,
  leaseMs,
  log: silentLog,
  ports: {
    ...systemPorts,
    reached: (point) => {
      if (point === at) process.kill(process.pid, 'SIGSTOP')
    },
  },
})
instance.consume(OrderPaid, { group, from: 'oldest' }, async ({ body }, { tx }) => {
  await handle.on(tx, 'insert into effects values (?)', body.n)
})
await instance.start()
