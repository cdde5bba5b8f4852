import { describe, expect, test } from 'vitest'
import { isWaybillError } from 'waybill'
import { freshDatabase, requireService, serviceNames } from '../../scripts/services/index.ts'
import { until } from '../../src/testing/index.ts'
import { type Fate, Proxy, isCommit } from './harness/proxy.ts'
import { Shop, expectAllOnce, numbers } from './harness/shop.ts'

for (const name of serviceNames) {
  const found = await requireService(name)

  describe.skipIf('skipped' in found)(`${name}, behind a network that cuts connections`, () => {
    for (const fate of ['cut-before', 'cut-after'] as const)
      test(`P7: a COMMIT that is ${fate === 'cut-before' ? 'never delivered' : 'done and not answered'} names the messages, which tell what became of it`, async (context) => {
        await using database = await freshDatabase(name, (found as { url: string }).url)
        await using proxy = await Proxy.before(database.url)
        await using shop = await Shop.open(context, name, database.url)
        const handle = shop.connect({}, proxy.url)
        const publisher = shop.instance(handle)
        await publisher.schema()
        proxy.fateOf = once(fate)
        const thrown = await shop.place(publisher, handle, 1).catch((error: unknown) => error)
        if (!isWaybillError(thrown, 'store.commit-unknown')) throw thrown
        const [id] = thrown.facts['messages'] as [never]
        const known = await publisher.search({ id })
        expect(known.length).toBe(fate === 'cut-after' ? 1 : 0)
        expect((await shop.placed()).length).toBe(known.length)
      })

    for (const fate of ['cut-before', 'cut-after'] as const)
      test(`P7: an effect whose COMMIT is ${fate === 'cut-before' ? 'never delivered is run again' : 'done and not answered is found by its receipt'}`, async (context) => {
        await using database = await freshDatabase(name, (found as { url: string }).url)
        await using proxy = await Proxy.before(database.url)
        await using shop = await Shop.open(context, name, database.url)
        const direct = shop.connect()
        await shop.place(shop.instance(direct), direct, 1)
        const handled: number[] = []
        await shop.consumer(shop.connect({}, proxy.url), ({ n }) => {
          handled.push(n)
          if (handled.length === 1) proxy.fateOf = once(fate)
        })
        await expectAllOnce(shop, [1])
        expect(handled).toEqual(fate === 'cut-before' ? [1, 1] : [1])
      })

    test('nothing is lost and nothing takes effect twice while every seventh COMMIT is cut off, in turns before and after', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using proxy = await Proxy.before(database.url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect({}, proxy.url)
      const publisher = shop.instance(handle)
      await shop.consumer(shop.connect({}, proxy.url))
      await shop.consumer(shop.connect({}, proxy.url))
      let commits = 0
      proxy.fateOf = (request) => {
        if (!isCommit(request) || ++commits % 7 !== 0) return 'pass'
        return commits % 14 === 0 ? 'cut-before' : 'cut-after'
      }
      const placing = shop.placing(publisher, handle, 1)
      await until('many COMMITs were cut off', () => commits > 7 * 20 && placing.last() > 30)
      const last = await placing.stop()
      proxy.fateOf = () => 'pass'
      await expectAllOnce(shop, numbers(1, last))
      expect(shop.uncoded).toEqual([])
    })
  })
}

/** That for the next COMMIT; afterwards all goes through. */
function once(fate: Fate): (request: string) => Fate {
  let isDone = false
  return (request) => {
    if (isDone || !isCommit(request)) return 'pass'
    isDone = true
    return fate
  }
}
