import { createPool } from 'mysql2/promise'
import { Pool } from 'pg'
import { describe, expect, test } from 'vitest'
import {
  type ServiceName,
  freshDatabase,
  requireService,
  serviceNames,
} from '../../scripts/services/index.ts'
import type { Ports } from '../../src/core/ports.ts'
import { Mysql2Driver, asMyPool } from '../../src/databases/mysql2-pool.ts'
import { PgPoolDriver, asPgPool } from '../../src/databases/pg-pool.ts'
import { StatementTexts as MyTexts } from '../../src/stores/mysql/connection.ts'
import type { MyDriver } from '../../src/stores/mysql/driver.ts'
import { migrate as migrateMysql } from '../../src/stores/mysql/migrate.ts'
import { migrations as mysqlMigrations } from '../../src/stores/mysql/migrations/index.ts'
import { StatementTexts as PgTexts } from '../../src/stores/postgres/connection.ts'
import type { PgDriver } from '../../src/stores/postgres/driver.ts'
import { migrate as migratePostgres } from '../../src/stores/postgres/migrate.ts'
import { migrations as postgresMigrations } from '../../src/stores/postgres/migrations/index.ts'
import { systemPorts } from '../../src/system.ts'
import { until } from '../../src/testing/index.ts'
import { OrderPaid, Shop, expectAllOnce, numbers } from './harness/shop.ts'

/** WAYBILL_LONG_TRANSACTION_MS=60000 holds it for a minute. */
const heldMs = Number(process.env['WAYBILL_LONG_TRANSACTION_MS'] ?? 2_000)
const ordersBeside = 30
const begin = { postgres: 'begin', mariadb: 'start transaction with consistent snapshot' }

for (const name of serviceNames) {
  const found = await requireService(name)

  describe.skipIf('skipped' in found)(`${name}, with a business transaction that stays open`, () => {
    test('it delays its own message, and nobody else’s', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect()
      const publisher = shop.instance(handle)
      await shop.consumer()
      await shop.consumer()
      await using taken = await handle.take()
      const { tx } = taken
      await handle.on(tx, begin[name])
      await handle.on(tx, 'insert into orders values (?)', 0)
      await publisher.publish(tx, OrderPaid, { shardingKey: 'user-0', body: { n: 0 } })
      const since = performance.now()
      const placing = shop.placing(publisher, handle, 1)
      const isHeld = (): boolean => performance.now() - since >= heldMs && placing.last() >= ordersBeside
      await until('it was open for long', isHeld, heldMs + 60_000)
      const last = await placing.stop()
      await expectAllOnce(shop, numbers(1, last))
      await handle.on(tx, 'commit')
      await expectAllOnce(shop, numbers(0, last))
    })

    test('P14: Waybill’s DDL waits for it, and publishers do not queue behind that', async (context) => {
      await using database = await freshDatabase(name, (found as { url: string }).url)
      await using shop = await Shop.open(context, name, database.url)
      const handle = shop.connect()
      const publisher = shop.instance(handle)
      await shop.consumer()
      await using taken = await handle.take()
      const { tx } = taken
      await handle.on(tx, begin[name])
      await handle.on(tx, 'insert into orders values (?)', 0)
      await publisher.publish(tx, OrderPaid, { body: { n: 0 } })
      let isMigrated = false
      const migrating = migrateFurther[name](database.url).then(() => (isMigrated = true))
      const placing = shop.placing(publisher, handle, 1)
      await until('many orders were placed meanwhile', () => placing.last() >= ordersBeside)
      expect(isMigrated).toBe(false)
      await handle.on(tx, 'commit')
      await migrating
      const before = placing.last()
      await until('orders are placed as before', () => placing.last() > before)
      const last = await placing.stop()
      await expectAllOnce(shop, numbers(0, last))
      expect(await handle.query('select extra from waybill_messages where extra is not null')).toEqual([])
    })
  })
}

/** What a later version of Waybill would bring: a change to the table that publishers write. */
const next = {
  version: 1_000,
  worksWithSince: 1,
  name: 'next',
  sql: '\nalter table waybill_messages add column extra integer;\n',
}

const migrateFurther: Readonly<Record<ServiceName, (url: string) => Promise<void>>> = {
  postgres: async (url) => {
    const pool = new Pool({ connectionString: url })
    const driver = new PgPoolDriver(asPgPool(pool), ports) as unknown as PgDriver<never>
    await migratePostgres(driver, new PgTexts('public'), ports, [...postgresMigrations, next])
    await pool.end()
  },
  mariadb: async (url) => {
    const pool = createPool(url)
    const driver = new Mysql2Driver(asMyPool(pool)) as unknown as MyDriver<never>
    const texts = new MyTexts(new URL(url).pathname.slice(1))
    await migrateMysql(driver, texts, ports, [...mysqlMigrations, next])
    await pool.end()
  },
}

const ports: Ports = systemPorts
