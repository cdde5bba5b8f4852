import type { PoolClient } from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../../scripts/services/index.ts'
import type { OpenDatabase } from '../../core/database.ts'
import type { OwnerId } from '../../core/ids.ts'
import type { Lease, ReadMessage } from '../../core/store.ts'
import { Waybill, topic } from '../../index.ts'
import { systemPorts } from '../../system.ts'
import { until } from '../../testing/until.ts'
import { openPool } from './pools.fixture.ts'

const orderPaid = topic<{ n: number }>('order.paid', undefined, { queues: 1 })
const group = 'coupon'
const count = 10

/** Whether anybody in this database waits for a lock. InnoDB tells what it told before, unless it was left alone for a tenth of a second. */
const waiting = {
  postgres: "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
  mariadb: `select 1 from (select sleep(0.11)) s join information_schema.innodb_trx t join information_schema.processlist p on p.id = t.trx_mysql_thread_id
    where p.db = database() and t.trx_state = 'LOCK WAIT'`,
}

for (const kind of ['postgres', 'mariadb'] as const) {
  const found = await requireService(kind)

  describe.skipIf('skipped' in found)(`what a group takes from its log on ${kind}`, () => {
    let database: OpenDatabase<PoolClient>
    let lease: Lease
    let messages: readonly ReadMessage[]
    let rows: ReturnType<typeof openPool>['rows']
    let publishOne: () => Promise<unknown>

    beforeEach(async () => {
      const server = await freshDatabase(kind, 'url' in found ? found.url : '')
      const { handle, close, ...pool } = openPool(kind, server.url)
      rows = pool.rows
      const waybill = new Waybill({ service: 'order', database: handle, migrate: 'auto' })
      await waybill.schema()
      await waybill.transaction(async (tx) => {
        const bodies = Array.from({ length: count }, (_, n) => ({ body: { n } }))
        await waybill.publish(tx, orderPaid, bodies)
      })
      publishOne = () => waybill.publishNow(orderPaid, { body: { n: 0 } })
      database = handle.open(systemPorts, { service: 'order', migrate: 'check' })
      await database.ready()
      const topics = [{ name: orderPaid.name, queues: 1 }]
      await database.store.declareGroup({
        name: group,
        topics,
        tags: {},
        from: 'oldest',
        subscriptionVersion: 1,
        ordered: false,
        onFailure: 'hold',
      })
      const queues = [{ topic: orderPaid.name, queue: 0 }]
      const membership = { reader: group, version: 1, queues, runningMax: count }
      const [share] = await database.store.share('one' as OwnerId, [membership], 60_000)
      lease = share!.leases[0]!
      messages = await database.store.read(lease, 0, count)
      return async () => {
        await waybill.stop()
        await database.close()
        await close()
        await server.drop()
      }
    })

    /** Somebody claims all in a transaction that stays open until another waits for it, and then ends as it is told. */
    async function whileClaimed<R>(ending: 'commit' | 'rollback', other: () => Promise<R>): Promise<R> {
      const open = Promise.withResolvers<void>()
      const claimed = Promise.withResolvers<void>()
      const first = database.transaction({
        work: async (tx) => {
          expect(await database.store.claim(tx, lease, messages, 'unclaimed')).toHaveLength(count)
          claimed.resolve()
          await open.promise
          if (ending === 'rollback') throw new Error('the handler failed')
        },
      })
      await claimed.promise
      const answer = other()
      await until('the other waits', async () => (await rows(waiting[kind])).length > 0)
      open.resolve()
      expect(
        await first.then(
          () => 'commit',
          () => 'rollback',
        ),
      ).toBe(ending)
      return answer
    }

    const onlyPostgres = kind === 'postgres' ? '' : ' (not claimed: nothing holds up a read there)'
    const onlyMariadb = kind === 'mariadb' ? '' : ' (not claimed: who remembers is fenced first)'

    const claimOne = (): Promise<readonly string[]> =>
      database.transaction({ work: (tx) => database.store.claim(tx, lease, [messages[4]!], 'unclaimed') })
    const states = async (): Promise<readonly (string | undefined)[]> => {
      const known = await database.store.dispositions(
        lease,
        messages.map(({ id }) => id),
      )
      return messages.map(({ id }) => known.get(id))
    }
    const allDone = Array.from({ length: count }, () => 'done')

    test('P3: whoever claims one message of a run that is not committed waits for it, and does not get it', async () => {
      expect(await whileClaimed('commit', claimOne)).toEqual([])
      expect(await states()).toEqual(allDone)
    })

    test('P3: whoever claims one message of a run that is rolled back gets it', async () => {
      expect(await whileClaimed('rollback', claimOne)).toEqual([messages[4]!.id])
      expect((await states()).filter((state) => state !== undefined)).toEqual(['done'])
    })

    test('P3: what is settled while its run is not committed yet stays done', async () => {
      const settle = (): Promise<void> =>
        database.store.settle(lease, [{ message: messages[4]!, state: 'dead', attempts: 1 }])
      await whileClaimed('commit', settle)
      expect(await states()).toEqual(allDone)
      expect(await database.store.deadLetters({})).toEqual([])
    })

    test('P15: a claim that stays open does not keep the queue from growing', async () => {
      const next = await database.transaction({
        work: async (tx) => {
          await database.store.claim(tx, lease, messages, 'unclaimed')
          await publishOne()
          return database.store.read(lease, count, count)
        },
      })
      expect(next.map(({ position }) => position)).toEqual([count + 1])
    })

    test('P6: two purges at once leave a receipt of every message that they drop', async () => {
      const { store } = database
      const [first] = messages
      await database.transaction({ work: (tx) => store.claim(tx, lease, messages, 'unclaimed') })
      // More runs than a purge looks at in one go.
      const runs = 300
      let last = count
      for (let run = 0; run < runs; run++) {
        await publishOne()
        const [next] = await store.read(lease, last, count)
        await database.transaction({ work: (tx) => store.claim(tx, lease, [next!], 'unclaimed') })
        last = next!.position
      }
      await store.advance(lease, last)
      const later = systemPorts.clock.now() + 1_000
      const purge = async (): Promise<void> => {
        while ((await store.purge(later)) > 0);
      }
      await Promise.all([purge(), purge(), purge()])
      expect(await store.search({ topic: orderPaid.name })).toEqual([])
      const left = `select count(*) as n from waybill_dispositions where grp = '${group}' and state = 'done'`
      expect(Number((await rows(left))[0]!['n'])).toBe(count + runs)
      expect((await store.dispositions(lease, [first!.id])).get(first!.id)).toBe('done')
    })

    test('P3: what is marked as running while its run is not committed yet stays done', async () => {
      await whileClaimed('commit', () => database.store.markRunning(lease, messages[4]!, true))
      expect(await states()).toEqual(allDone)
    })

    test.runIf(kind === 'postgres')(
      `P17: what is marked as running while it is asked for does not pass for done${onlyPostgres}`,
      async () => {
        const { id, position } = messages[4]!
        const asked = await database.transaction({
          work: async (tx) => {
            await tx.query('lock table waybill_taken in access exclusive mode')
            const answer = database.store.dispositions(lease, [id])
            await until('the other waits', async () => (await rows(waiting[kind])).length > 0)
            await tx.query(
              `insert into waybill_taken (lane, seq_from, seq_to, at) select lane, ${position}, ${position}, 0 from waybill_leases where reader = '${group}'`,
            )
            await tx.query(
              `insert into waybill_dispositions (grp, message_id, topic, queue, pos, state, body_hash, at)
               values ('${group}', '${id}', '${orderPaid.name}', 0, ${position}, 'running', '', 0)`,
            )
            return { answer }
          },
        })
        expect((await asked.answer).get(id)).toBe('running')
      },
    )

    // Its dumps may be of different moments, and older files under it are noticed only a moment later.
    const kept = 5
    const putBack = async (): Promise<void> => {
      await rows(`delete from waybill_messages where seq > ${kept}`)
      await rows(`update waybill_ends set seq = ${kept}`)
    }
    const readNext = async (after: number): Promise<ReadMessage> => {
      await publishOne()
      const [next] = await database.store.read(lease, after, count)
      return next!
    }

    test.runIf(kind === 'mariadb')(
      `P12: whoever remembers messages that the log has lost takes no place of the next ones${onlyMariadb}`,
      async () => {
        await putBack()
        const claimed = database.transaction({
          work: (tx) => database.store.claim(tx, lease, messages, 'unclaimed'),
        })
        await expect(claimed).rejects.toMatchObject({ code: 'store.lease-lost' })
        await database.store.settle(lease, [{ message: messages[kept]!, state: 'dead', attempts: 1 }])
        await database.store.markRunning(lease, messages[kept]!, true)
        const next = await readNext(kept)
        expect([next.position, next.disposition]).toEqual([kept + 1, null])
        const ids = await database.transaction({
          work: (tx) => database.store.claim(tx, lease, [next], 'unclaimed'),
        })
        expect(ids).toEqual([next.id])
      },
    )

    test.runIf(kind === 'mariadb')(
      `P12: places that were taken, passed or given are not given again, whatever the end of their queue says${onlyMariadb}`,
      async () => {
        await database.transaction({ work: (tx) => database.store.claim(tx, lease, messages, 'unclaimed') })
        await putBack()
        const next = await readNext(kept)
        expect([next.position, next.disposition]).toEqual([count + 1, null])
        await rows(`update waybill_ends set seq = ${kept}`)
        expect((await readNext(next.position)).position).toBe(count + 2)
        await database.store.advance(lease, 2 * count)
        expect((await readNext(2 * count)).position).toBe(2 * count + 1)
      },
    )
  })
}
