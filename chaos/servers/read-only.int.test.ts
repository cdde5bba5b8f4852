import { type TestContext, describe, expect, test } from 'vitest'
import { isWaybillError } from 'waybill'
import {
  type ServiceName,
  freshDatabase,
  requireInstalled,
  requireService,
  serviceNames,
  startPrivateService,
} from '../../scripts/services/index.ts'
import { until } from '../../src/testing/index.ts'
import { handleOf } from './harness/handles.ts'
import { OrderPaid, Shop, expectAllOnce } from './harness/shop.ts'

/** A server that can be made to refuse writes. */
interface Switched extends AsyncDisposable {
  /** For the shop: as a user for whom the switch counts. */
  readonly url: string
  takesWrites(does: boolean): Promise<void>
}

/** What a fail-over does: sessions end, and the new ones find a server without writes. Those that began then stay so for ever. */
async function switchedPostgres(): Promise<Switched> {
  const database = await freshDatabase('postgres', (found.postgres as { url: string }).url)
  const admin = handleOf('postgres', (found.postgres as { url: string }).url, { max: 1 })
  return {
    url: database.url,
    takesWrites: async (does) => {
      await admin.query(
        `alter database ${database.name} set default_transaction_read_only = ${does ? 'off' : 'on'}`,
      )
      if (!does)
        await admin.query(
          'select pg_terminate_backend(pid) from pg_stat_activity where datname = ?',
          database.name,
        )
    },
    [Symbol.asyncDispose]: async () => {
      await admin.end()
      await database.drop()
    },
  }
}

/** The switch is the whole server's, and does not count for users with all rights. */
async function switchedMariadb(): Promise<Switched> {
  const server = await startPrivateService('mariadb')
  const admin = handleOf('mariadb', server.url, { max: 1 })
  await admin.query("create user app@'127.0.0.1' identified by 'app'")
  await admin.query("grant all on waybill.* to app@'127.0.0.1'")
  const url = new URL(server.url)
  url.username = 'app'
  url.password = 'app'
  return {
    url: url.href,
    takesWrites: async (does) => void (await admin.query(`set global read_only = ${does ? 0 : 1}`)),
    [Symbol.asyncDispose]: async () => {
      await admin.end()
      await server[Symbol.asyncDispose]()
    },
  }
}

const found = { postgres: await requireService('postgres'), mariadb: await requireInstalled('mariadb') }
const switched = { postgres: switchedPostgres, mariadb: switchedMariadb }

for (const name of serviceNames)
  describe.skipIf('skipped' in found[name])(`${name}, read-only after a fail-over`, () => {
    test('publishing is refused with a code, consumers pause without an attempt, and both go on once it takes writes again', async (context) => {
      await using server = await switched[name]()
      await expectPauseAndResumption(context, name, server)
    })
  })

async function expectPauseAndResumption(
  context: TestContext,
  name: ServiceName,
  { url, takesWrites }: Switched,
): Promise<void> {
  await using shop = await Shop.open(context, name, url)
  const handle = shop.connect()
  const publisher = shop.instance(handle)
  const attempts: number[] = []
  const failedOver = Promise.withResolvers<void>()
  await shop.consumer(shop.connect(), async (_, { attempt }) => {
    attempts.push(attempt)
    if (attempts.length > 1) return
    await takesWrites(false)
    failedOver.resolve()
  })
  await shop.place(publisher, handle, 1)
  await failedOver.promise
  const refused = await until('publishing is refused', async () => {
    const error = await publisher.publishNow(OrderPaid, { body: { n: 2 } }).catch((thrown: unknown) => thrown)
    return isWaybillError(error, 'store.read-only') ? error : undefined
  })
  expect(refused.code).toBe('store.read-only')
  const isReported = (): boolean => [...shop.warnings.keys()].some((text) => text.includes('read-only'))
  await until('the consumer was refused as well', isReported)
  expect(await shop.handled()).toEqual([])
  await takesWrites(true)
  await shop.placeSurely(publisher, handle, 3)
  await expectAllOnce(shop, [1, 3])
  expect(new Set(attempts)).toEqual(new Set([1]))
  expect(shop.uncoded).toEqual([])
}
