import { drizzle as drizzleOverSqlite } from 'drizzle-orm/better-sqlite3'
import { drizzle as drizzleOverMysql2 } from 'drizzle-orm/mysql2'
import { drizzle as drizzleOverPg } from 'drizzle-orm/node-postgres'
import createKnex from 'knex'
import { Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'
import { createPool } from 'mysql2/promise'
import { Pool } from 'pg'
import { DataSource } from 'typeorm'
import { afterAll, expect, test } from 'vitest'
import { drizzle } from './drizzle.ts'
import { knex } from './knex.ts'
import { kysely } from './kysely.ts'
import { prisma } from './prisma.ts'
import { typeorm } from './typeorm.ts'

const nowhere = 'mysql://waybill:none@127.0.0.1:1/none'
const pool = new Pool()
const mysqlPool = createPool(nowhere)
const sqliteDb = drizzleOverSqlite(':memory:')
const knexes = ['pg', 'mysql2', 'better-sqlite3'].map((client) =>
  createKnex({ client, useNullAsDefault: true }),
)

afterAll(async () => {
  for (const one of knexes) await one.destroy()
  sqliteDb.$client.close()
  await mysqlPool.end()
  await pool.end()
})

test('a tool’s database is found out from the tool', () => {
  const overPg = new Kysely({ dialect: new PostgresDialect({ pool }) })
  const overMysql = new Kysely({ dialect: new MysqlDialect({ pool: mysqlPool.pool }) })
  expect(drizzle(drizzleOverPg(pool)).dialect).toBe('postgres')
  expect(drizzle(drizzleOverMysql2(mysqlPool)).dialect).toBe('mysql')
  expect(kysely(overPg).dialect).toBe('postgres')
  expect(kysely(overMysql, { schema: 'shop' }).dialect).toBe('mysql')
  expect(knexes.slice(0, 2).map((one) => knex(one).dialect)).toEqual(['postgres', 'mysql'])
})

test('a tool on a database that Waybill does not know is refused', () => {
  const sqlite = new Kysely({ dialect: new SqliteDialect({ database: sqliteDb.$client }) })
  const invalid = /config.invalid/
  expect(() => drizzle(sqliteDb as never)).toThrow(invalid)
  expect(() => drizzle({} as never)).toThrow(invalid)
  expect(() => kysely(sqlite)).toThrow(invalid)
  expect(() => knex(knexes[2]!)).toThrow(invalid)
  expect(() => typeorm(new DataSource({ type: 'postgres' }))).toThrow(/after its initialize/)
  expect(() => prisma({} as never)).toThrow(/driver adapter/)
  expect(() => prisma({ _engineConfig: { adapter: { provider: 'sqlite' } } } as never)).toThrow(invalid)
})

test('where a tool does not show which database its connections are in, that must be named', () => {
  const overMysql = new Kysely({ dialect: new MysqlDialect({ pool: mysqlPool.pool }) })
  const client = { _engineConfig: { adapter: { provider: 'mysql' } } } as never
  expect(() => kysely(overMysql)).toThrow(/schema: 'shop'/)
  expect(() => prisma(client)).toThrow(/schema: 'shop'/)
  expect(prisma(client, { schema: 'shop' }).dialect).toBe('mysql')
})
