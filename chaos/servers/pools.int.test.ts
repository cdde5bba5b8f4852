import { describe, expect, test } from 'vitest'
import { isWaybillError } from 'waybill'
import { freshDatabase, requireService, serviceNames } from '../../scripts/services/index.ts'
import { until } from '../../src/testing/index.ts'
import { OrderPaid, Shop, expectAllOnce, numbers } from './harness/shop.ts'

/** The smallest pools with which an instance may be started. */
const smallest = { postgres: 3, mariadb: 2 }

const now = { postgres: 'waybill_now()', mariadb: 'unix_timestamp(now(3)) * 1000' }

for (const name of serviceNames) {
  const found = await requireService(name)

  describe.skipIf('skipped' in found)(`${name}, over a pool that is too small`, () => {
    test('the smallest pool that is allowed does for a publisher and handlers that share it', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect({ max: smallest[name] })
      const instance = await shop.consumer(handle)
      await Promise.all(numbers(1, 40).map((n) => shop.placeSurely(instance, handle, n)))
      await expectAllOnce(shop, numbers(1, 40))
    })

    test('a smaller one is refused at the start, and does for publishing', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const small = shop.connect({ max: smallest[name] - 1 })
      const refused = await shop.consumer(small).catch((error: unknown) => error)
      expect(isWaybillError(refused, 'config.invalid')).toBe(true)
      const one = shop.connect({ max: 1 })
      const publisher = shop.instance(one, { migrate: 'check' })
      await Promise.all(numbers(1, 5).map((n) => shop.placeSurely(publisher, one, n)))
      await shop.consumer()
      await expectAllOnce(shop, numbers(1, 5))
    })

    test('while somebody else holds all connections publishers and consumers wait, and go on afterwards', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect({ max: 4 })
      const handled: number[] = []
      const instance = await shop.consumer(handle, ({ n }) => void handled.push(n))
      await shop.placeSurely(instance, handle, 1)
      await until('one is handled', () => handled.length === 1)
      const direct = shop.connect()
      let placing: Promise<unknown>
      {
        await using stack = new AsyncDisposableStack()
        // But for the one that listens.
        for (let i = 0; i < (name === 'postgres' ? 3 : 4); i++) stack.use(await handle.take())
        placing = Promise.all([2, 3].map((n) => shop.placeSurely(instance, handle, n)))
        await shop.placeSurely(shop.instance(direct), direct, 4)
        const held = `select count(*) as n from waybill_leases where reader = 'coupon' and expires_at > ${now[name]}`
        const isLapsed = async (): Promise<boolean> => Number((await shop.witness.query(held))[0]!['n']) === 0
        await until('the leases have lapsed', isLapsed)
        expect(handled).toEqual([1])
      }
      await placing
      await expectAllOnce(shop, numbers(1, 4))
    })

    test('a pool that lets nobody wait refuses with a code, and nothing is lost', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect({ max: 1, impatient: true })
      const publisher = shop.instance(handle, { migrate: 'check' })
      await shop.consumer()
      {
        await using taken = await handle.take()
        expect(taken.tx).toBeDefined()
        const refused = await publisher
          .publishNow(OrderPaid, { body: { n: 1 } })
          .catch((error: unknown) => error)
        expect(isWaybillError(refused, 'store.busy')).toBe(true)
      }
      await shop.placeSurely(publisher, handle, 1)
      await expectAllOnce(shop, [1])
    })
  })
}
