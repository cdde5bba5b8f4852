import type { EntityManager as MikroEntityManager, MikroORM } from '@mikro-orm/postgresql'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type { Knex } from 'knex'
import type { Kysely, Transaction } from 'kysely'
import type { Pool, PoolClient } from 'pg'
import type { Sql, TransactionSql } from 'postgres'
import type { DataSource, EntityManager } from 'typeorm'
import { Waybill, topic } from '../index.ts'
import { drizzle } from './drizzle.ts'
import { knex } from './knex.ts'
import { kysely } from './kysely.ts'
import { mikroOrm } from './mikro-orm.ts'
import { pg } from './pg.ts'
import { postgresJs } from './postgres-js.ts'
import { typeorm } from './typeorm.ts'

// Checked by tsc alone: each expectation fails to compile when it is not met.
type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function expectType<A, B>(same: Equals<A, B>): void {
  void same
}
interface Tables {
  orders: { id: string }
}

const OrderPaid = topic<{ id: string }>('order.paid')
const message = { body: { id: '1' } }
declare const pool: Pool
declare const sql: Sql
declare const overPg: NodePgDatabase
declare const overPostgresJs: PostgresJsDatabase
declare const db: Kysely<Tables>
declare const knexDb: Knex
declare const dataSource: DataSource
declare const orm: MikroORM

export function overThePgPool(): void {
  const waybill = new Waybill({ service: 'order', database: pg(pool) })
  waybill.consume(OrderPaid, { group: 'a' }, (_, { tx }) => expectType<typeof tx, PoolClient>(true))
  // @ts-expect-error a pool is in no transaction
  void waybill.publish(pool, OrderPaid, message)
}

export function overPostgresJsItself(): void {
  const waybill = new Waybill({ service: 'order', database: postgresJs(sql) })
  void waybill.transaction(async (tx) => expectType<typeof tx, TransactionSql<{}>>(true))
  void sql.begin((tx) => waybill.publish(tx, OrderPaid, message))
  // @ts-expect-error the root is in no transaction
  void waybill.publish(sql, OrderPaid, message)
}

export function overDrizzle(): void {
  const waybill = new Waybill({ service: 'order', database: drizzle(overPg) })
  type Tx = Parameters<Parameters<typeof overPg.transaction>[0]>[0]
  void waybill.transaction(async (tx) => expectType<typeof tx, Tx>(true))
  void overPg.transaction((tx) => waybill.publish(tx, OrderPaid, message))
  // @ts-expect-error the root is in no transaction
  void waybill.publish(overPg, OrderPaid, message)

  const other = new Waybill({ service: 'order', database: drizzle(overPostgresJs) })
  void overPostgresJs.transaction((tx) => other.publish(tx, OrderPaid, message))
  // @ts-expect-error the root is in no transaction
  void other.publish(overPostgresJs, OrderPaid, message)
}

export function overKysely(): void {
  const waybill = new Waybill({ service: 'order', database: kysely(db) })
  void waybill.transaction(async (tx) => expectType<typeof tx, Transaction<Tables>>(true))
  void db.transaction().execute((tx) => waybill.publish(tx, OrderPaid, message))
}

export function overKnex(): void {
  const waybill = new Waybill({ service: 'order', database: knex(knexDb) })
  void waybill.transaction(async (tx) => expectType<typeof tx, Knex.Transaction>(true))
  void knexDb.transaction((tx) => waybill.publish(tx, OrderPaid, message))
  // @ts-expect-error the root is in no transaction
  void waybill.publish(knexDb, OrderPaid, message)
}

export function overTypeOrm(): void {
  const waybill = new Waybill({ service: 'order', database: typeorm(dataSource) })
  void waybill.transaction(async (tx) => expectType<typeof tx, EntityManager>(true))
  void dataSource.transaction((tx) => waybill.publish(tx, OrderPaid, message))
  // @ts-expect-error a data source is in no transaction; that its `manager` is in none is seen only when it runs
  void waybill.publish(dataSource, OrderPaid, message)
}

export function overMikroOrm(): void {
  const waybill = new Waybill({ service: 'order', database: mikroOrm(orm) })
  void waybill.transaction(async (tx) => expectType<typeof tx, MikroEntityManager>(true))
  void orm.em.transactional((tx) => waybill.publish(tx, OrderPaid, message))
  // @ts-expect-error MikroORM is in no transaction; that its `em` is in none is seen only when it runs
  void waybill.publish(orm, OrderPaid, message)
}
