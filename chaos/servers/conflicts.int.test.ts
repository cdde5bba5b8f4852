import { describe, expect, test } from 'vitest'
import { isWaybillError } from 'waybill'
import { freshDatabase, requireService, serviceNames } from '../../scripts/services/index.ts'
import type { Handle, Tx } from './harness/handles.ts'
import { type Instance, OrderPaid, Shop, expectAllOnce, numbers } from './harness/shop.ts'

/** What P7 lets a handler be run again at once. */
const rerunsMax = 5
const serializable = {
  postgres: ['begin isolation level serializable'],
  mariadb: ['set transaction isolation level serializable', 'start transaction'],
}
const failing = {
  postgres: "do $$ begin raise exception 'conflict' using errcode = 'serialization_failure'; end $$",
  mariadb: "signal sqlstate '40001' set mysql_errno = 1213, message_text = 'conflict'",
}

for (const name of serviceNames) {
  const found = await requireService(name)

  describe.skipIf('skipped' in found)(`${name}, where transactions conflict`, () => {
    test('P7: handlers that dead-lock are run again at once, without an attempt', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect()
      const publisher = shop.instance(handle)
      // Before there is a consumer, so that one window holds both.
      await shop.place(publisher, handle, 1)
      await shop.place(publisher, handle, 2)
      const attempts: number[] = []
      const crossing = new Crossing(handle)
      await shop.consumer(shop.connect(), async ({ n }, { tx, attempt }) => {
        attempts.push(attempt)
        await crossing.cross(tx, n % 2)
      })
      await expectAllOnce(shop, [1, 2])
      expect(attempts).toEqual([1, 1, 1])
    })

    test('P7: a handler that always conflicts is run at most five times more at once, is charged no attempt, and takes effect in the end', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect()
      const attempts: number[] = []
      const runsBetween: number[] = []
      shop.onWarning = () => runsBetween.push(attempts.length)
      await shop.consumer(handle, async (_, { tx, attempt }) => {
        attempts.push(attempt)
        if (attempts.length <= 2 * (rerunsMax + 1)) await handle.on(tx, failing[name])
      })
      await shop.place(shop.instance(handle), handle, 1)
      await expectAllOnce(shop, [1])
      expect(runsBetween).toEqual([rerunsMax + 1, 2 * (rerunsMax + 1)])
      expect(new Set(attempts)).toEqual(new Set([1]))
    })

    test('P7: of two transactions of publishers that dead-lock one fails with its message, and neither callback is run again', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect()
      const publisher = shop.instance(handle)
      await shop.consumer()
      const crossing = new Crossing(handle)
      let runs = 0
      const ended = await Promise.allSettled(
        [1, 2].map((n) =>
          publisher.transaction(async (tx) => {
            runs++
            await handle.on(tx, 'insert into orders values (?)', n)
            await publisher.publish(tx, OrderPaid, { body: { n } })
            await crossing.cross(tx, n % 2)
          }),
        ),
      )
      expect(runs).toBe(2)
      const failed = ended.filter((one) => one.status === 'rejected')
      expect(failed.map(({ reason }) => isWaybillError(reason, 'store.busy'))).toEqual([true])
      await expectAllOnce(shop, [ended[0]!.status === 'fulfilled' ? 1 : 2])
    })

    test('publishers at SERIALIZABLE that repeat what conflicted lose nothing and double nothing', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect()
      const publisher = shop.instance(handle)
      await shop.consumer()
      let conflicts = 0
      const place = async (n: number): Promise<void> => {
        while (!(await placedSerializably(shop, publisher, handle, n))) conflicts++
      }
      const each = numbers(0, 3).map(async (worker) => {
        for (const n of numbers(1, 10)) await place(worker * 10 + n)
      })
      await Promise.all(each)
      expect(conflicts).toBeGreaterThan(0)
      await expectAllOnce(shop, numbers(1, 40))
    })
  })
}

/** Two transactions that each lock the row that the other has: once. Afterwards everyone goes through. */
class Crossing {
  readonly #handle: Handle
  readonly #bothHold = Promise.withResolvers<void>()
  #holding = 0

  constructor(handle: Handle) {
    this.#handle = handle
  }

  async cross(tx: Tx, side: number): Promise<void> {
    const touch = (id: number): Promise<unknown> =>
      this.#handle.on(tx, 'update stock set amount = amount + 1 where id = ?', id)
    await touch(1 + side)
    if (++this.#holding === 2) this.#bothHold.resolve()
    await this.#bothHold.promise
    await touch(2 - side)
  }
}

/** In a transaction of the user's own. Answers false where the server refused it for a conflict. */
async function placedSerializably(
  shop: Shop,
  publisher: Instance,
  handle: Handle,
  n: number,
): Promise<boolean> {
  await using taken = await handle.take()
  const { tx } = taken
  try {
    for (const statement of serializable[shop.name]) await handle.on(tx, statement)
    await handle.on(tx, 'select count(*) as n from orders')
    await handle.on(tx, 'insert into orders values (?)', n)
    await publisher.publish(tx, OrderPaid, { shardingKey: `user-${n % 7}`, body: { n } })
    await handle.on(tx, 'commit')
    return true
  } catch (error) {
    await handle.on(tx, 'rollback')
    const { code } = error as { readonly code?: unknown }
    if (['store.busy', '40001', '40P01', 'ER_LOCK_DEADLOCK', 'ER_CHECKREAD'].includes(String(code)))
      return false
    throw error
  }
}
