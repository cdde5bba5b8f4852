import { createPool } from 'mysql2/promise'
import { Pool } from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import {
  type PrivateServer,
  type ServiceName,
  removeService,
  requireInstalled,
  restartService,
  startPrivateService,
} from '../../../scripts/services/index.ts'
import type { OpenDatabase } from '../../core/database.ts'
import { silentLog } from '../../core/log.ts'
import type { Lease } from '../../core/store.ts'
import { mysql2 } from '../../databases/mysql2.ts'
import { pg } from '../../databases/pg.ts'
import { systemPorts } from '../../system.ts'
import { until } from '../../testing/until.ts'

const topic = { name: 'order.paid', queues: 1 }
const queues = [{ topic: topic.name, queue: 0 }]
const leaseMs = 600_000

/** P12: between two runs of a server older files may have been put under it, and nothing inside of them tells. */
for (const kind of ['postgres', 'mariadb'] as const) {
  const installed = await requireInstalled(kind)

  describe.skipIf('skipped' in installed)(`${kind} is restarted under a reader that does not notice`, () => {
    const endings: (() => Promise<unknown>)[] = []
    afterEach(async () => {
      for (const end of endings.splice(0).reverse()) await end()
    })

    test.each(['@land:coupon/order.paid', '@relay', 'coupon'])(
      'P12: what it remembers is fenced before anything new can be read: %s',
      async (reader) => {
        const server = await startPrivateService(kind)
        endings.push(() => removeService(server))
        const log = openOn(server, kind)
        await log.declare(reader)
        const lease = await log.lease(reader)
        await log.publish(3)
        await readAndPass(log.database, lease)
        expect(await log.database.store.read(lease, 3, 100)).toEqual([])

        await untilSeen(server, kind)
        await restartService(server)
        await untilPublished(log)
        // It goes on as if nothing had happened, without a heartbeat.
        await expect(readAndPass(log.database, lease)).rejects.toMatchObject({ code: 'store.lease-lost' })
        const again = await log.lease(reader)
        expect(again.fence).toBeGreaterThan(lease.fence)
        expect(again.position).toBe(3)
        await readAndPass(log.database, again)
      },
    )

    test('P12: while the server stays the same, leases stand', async () => {
      const server = await startPrivateService(kind)
      endings.push(() => removeService(server))
      const [one, other] = [openOn(server, kind), openOn(server, kind)]
      await one.declare('@relay')
      const lease = await one.lease('@relay')
      await other.lease('@relay')
      await one.publish(3)
      await other.publish(3)
      await readAndPass(one.database, lease)
      expect(await one.lease('@relay')).toMatchObject({ fence: lease.fence, position: 6 })
    })

    const claims = kind === 'postgres' ? '' : ' (not claimed: MariaDB’s processes are one)'
    test.runIf(kind === 'postgres')(
      `P12: a crash of one of its processes, after which it says that it started when it did before, fences as well${claims}`,
      async () => {
        const server = await startPrivateService(kind)
        endings.push(() => removeService(server))
        const log = openOn(server, kind)
        await log.declare('coupon')
        const lease = await log.lease('coupon')
        await log.publish(3)
        const remembered = await log.database.store.read(lease, 0, 100)
        expect(remembered).toHaveLength(3)

        await crashOneProcess(server)
        await untilPublished(log)
        // The window that gave them their places need not have been on disk: others may have them by now.
        const claim = log.database.transaction({
          work: (tx) => log.database.store.claim(tx, lease, remembered, 'unclaimed'),
        })
        await expect(claim).rejects.toMatchObject({ code: 'store.lease-lost' })
        const again = await log.lease('coupon')
        expect(again.fence).toBeGreaterThan(lease.fence)
        await readAndPass(log.database, again)
      },
    )

    function openOn(server: PrivateServer, on: ServiceName): Log {
      const log = new Log(server, on)
      endings.push(() => log.close())
      return log
    }
  })
}

async function untilPublished(log: Log): Promise<void> {
  await until('connections are there again', () =>
    log.publish(1).then(
      () => true,
      () => false,
    ),
  )
}

/**
 * PostgreSQL ends all of its processes then, and recovers, under the same postmaster. That takes a moment, in which the others still
 * answer: it is waited for until another one has ended as well.
 */
async function crashOneProcess(server: PrivateServer): Promise<void> {
  const pool = new Pool({ connectionString: server.url, max: 2 })
  pool.on('error', () => {})
  const [victim, other] = [await pool.connect(), await pool.connect()]
  const areGone = Promise.all(
    [victim, other].map((client) => new Promise((gone) => client.once('error', gone))),
  )
  const { rows } = await victim.query<{ pid: number }>('select pg_backend_pid() as pid')
  process.kill(rows[0]!.pid, 'SIGKILL')
  await areGone
  for (const client of [victim, other]) client.release(true)
  await pool.end()
}

async function readAndPass(database: OpenDatabase<any>, lease: Lease): Promise<void> {
  const messages = await database.store.read(lease, lease.position, 100)
  expect(messages).not.toEqual([])
  await database.store.advance(lease, messages.at(-1)!.position)
}

/** MariaDB tells its start in whole seconds: a restart within them is seen as none. */
async function untilSeen(server: PrivateServer, kind: ServiceName): Promise<void> {
  if (kind === 'postgres') return
  const pool = createPool({ uri: server.url })
  await until('it ran for some seconds', async () => {
    const [rows] = await pool.query("show global status like 'Uptime'")
    return Number((rows as { Value: string }[])[0]!.Value) >= 3
  })
  await pool.end()
}

class Log {
  readonly database: OpenDatabase<any>
  readonly #ports = { ...systemPorts, log: silentLog }
  readonly #owner = this.#ports.ids.owner()
  readonly #end: () => Promise<void>

  constructor(server: PrivateServer, kind: ServiceName) {
    const options = { service: 'order', migrate: 'auto' } as const
    if (kind === 'postgres') {
      const pool = new Pool({ connectionString: server.url })
      pool.on('error', () => {})
      this.database = pg(pool).open(this.#ports, options)
      this.#end = () => pool.end()
    } else {
      const pool = createPool({ uri: server.url })
      this.database = mysql2(pool).open(this.#ports, options)
      this.#end = () => pool.end()
    }
  }

  async declare(reader: string): Promise<void> {
    await this.database.ready()
    const { store } = this.database
    if (reader.startsWith('@')) await store.declareReader(reader, [topic], 'oldest')
    else {
      const group = {
        name: reader,
        topics: [topic],
        tags: {},
        from: 'oldest',
        subscriptionVersion: 1,
      } as const
      await store.declareGroup({ ...group, ordered: false, onFailure: 'hold' })
    }
  }

  async lease(reader: string): Promise<Lease> {
    const membership = { reader, version: 1, queues, runningMax: 100 }
    const [share] = await this.database.store.share(this.#owner, [membership], leaseMs)
    return share!.leases[0]!
  }

  async publish(count: number): Promise<void> {
    const now = this.#ports.clock.now()
    const body = '{}'
    const messages = Array.from({ length: count }, () => ({
      id: this.#ports.ids.message(),
      service: 'order',
      topic: topic.name,
      tag: null,
      key: null,
      shardingKey: null,
      headers: {},
      body,
      bodyHash: this.#ports.digest(body),
      publishedAt: now,
      eligibleAt: now,
      dedupKey: null,
    }))
    await this.database.transaction({
      work: (tx) => this.database.store.append(tx, messages, [topic]),
    })
  }

  async close(): Promise<void> {
    await this.database.close()
    await this.#end()
  }
}
