import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isWaybillError } from 'waybill'
import {
  type PrivateServer,
  type ServiceName,
  isOnMysql,
  requireInstalled,
  serviceNames,
  startPrivateService,
} from '../../scripts/services/index.ts'
import { handleOf } from './harness/handles.ts'
import { Shop, expectAllOnce, numbers } from './harness/shop.ts'
import { SmallDisk } from './harness/small-disk.ts'

const whyNot = SmallDisk.whyNot()
if (whyNot !== undefined) console.log(`tests are skipped, no small disk: ${whyNot}`)
const megabytes = 40

for (const name of serviceNames) {
  const found = await requireInstalled(name)

  // The tables of a database cannot be put elsewhere by a link there.
  const isMovable = name === 'postgres' || !isOnMysql
  const notClaimed = isMovable ? '' : ' (not claimed: not tried on MySQL)'

  describe.skipIf('skipped' in found || whyNot !== undefined)(`${name}, on a disk that is full`, () => {
    test.runIf(isMovable)(
      `publishing is refused with a code, and goes on with all that waited once there is room${notClaimed}`,
      async (context) => {
        await using server = await startPrivateService(name)
        using disk = SmallDisk.mount(megabytes, server.dataFolder)
        await using shop = await Shop.open(context, name, await databaseOn[name](server, disk))
        const handle = shop.connect()
        const publisher = shop.instance(handle)
        await shop.consumer()
        for (const n of numbers(1, 5)) await shop.placeSurely(publisher, handle, n)
        disk.fill()

        let last = 5
        let refused: unknown
        for (; refused === undefined; last++)
          refused = await shop.place(publisher, handle, last + 1).catch((error: unknown) => error)
        expect(isWaybillError(refused, 'store.disk-full')).toBe(true)
        const placing = numbers(last, last + 5).map((n) => shop.placeSurely(publisher, handle, n))
        disk.clear()
        await Promise.all(placing)
        await expectAllOnce(shop, numbers(1, last + 5))
        expect(shop.uncoded).toEqual([])
      },
    )
  })
}

/** Only the tables are on the small disk: a server whose log has no room does not answer with an error, but stops. */
const databaseOn: Readonly<Record<ServiceName, (server: PrivateServer, disk: SmallDisk) => Promise<string>>> =
  {
    postgres: async ({ url }, { path }) => {
      const admin = handleOf('postgres', url, { max: 1 })
      await admin.query(`create tablespace small location '${path}'`)
      await admin.query('create database small tablespace small')
      await admin.end()
      return inDatabase(url, 'small')
    },
    mariadb: async ({ url, dataFolder }, { path }) => {
      symlinkSync(path, join(dataFolder, 'small'))
      return inDatabase(url, 'small')
    },
  }

function inDatabase(url: string, name: string): string {
  const within = new URL(url)
  within.pathname = `/${name}`
  return within.href
}
