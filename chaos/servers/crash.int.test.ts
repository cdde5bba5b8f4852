import { describe, expect, test } from 'vitest'
import {
  crashService,
  requireInstalled,
  restartService,
  serviceNames,
  startPrivateService,
} from '../../scripts/services/index.ts'
import { until } from '../../src/testing/index.ts'
import { Shop, expectAllOnce, numbers } from './harness/shop.ts'

for (const name of serviceNames) {
  const found = await requireInstalled(name)

  describe.skipIf('skipped' in found)(`${name}, killed while publishers and consumers run`, () => {
    test('nothing is lost and nothing takes effect twice, though it dies twice', async (context) => {
      await using server = await startPrivateService(name)
      await using shop = await Shop.open(context, name, server.url)
      const handle = shop.connect()
      const publisher = shop.instance(handle)
      await shop.consumer()
      await shop.consumer()
      const placing = [1, 100_001].map((from) => shop.placing(publisher, handle, from))
      for (let crashes = 0; crashes < 2; crashes++) {
        const before = await until('what has taken effect is told', async () => [await shop.handled()])
        const enough = before[0]!.length + 20
        await until('some more have taken effect', async () => (await shop.handled()).length >= enough)
        await crashService(server)
        await until('the server is there again', () => restartService(server).then(() => true))
      }
      const later = placing.map(({ last }) => last() + 5)
      await until('orders are placed again', () => placing.every(({ last }, i) => last() >= later[i]!))
      const lasts = await until('what was begun is placed', () =>
        Promise.all(placing.map((one) => one.stop())),
      )
      expect(lasts.every((last) => last > 0)).toBe(true)
      await expectAllOnce(shop, [...numbers(1, lasts[0]!), ...numbers(100_001, lasts[1]!)])
      expect(shop.uncoded).toEqual([])
    })
  })
}
