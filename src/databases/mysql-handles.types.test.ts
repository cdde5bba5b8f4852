import type { EntityManager as MikroEntityManager, MikroORM } from '@mikro-orm/mysql'
import type { MySql2Database } from 'drizzle-orm/mysql2'
import type { Pool, PoolConnection } from 'mysql2/promise'
import { Waybill, topic } from '../index.ts'
import { drizzle } from './drizzle.ts'
import { mikroOrm } from './mikro-orm.ts'
import { mysql2 } from './mysql2.ts'

// Checked by tsc alone: each expectation fails to compile when it is not met. Kysely, Knex and TypeORM have the same types on all databases.
type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function expectType<A, B>(same: Equals<A, B>): void {
  void same
}

const OrderPaid = topic<{ id: string }>('order.paid')
const message = { body: { id: '1' } }
declare const pool: Pool
declare const db: MySql2Database
declare const orm: MikroORM

export function overMysql2(): void {
  const waybill = new Waybill({ service: 'order', database: mysql2(pool) })
  waybill.consume(OrderPaid, { group: 'a' }, (_, { tx }) => expectType<typeof tx, PoolConnection>(true))
  // @ts-expect-error a pool is in no transaction
  void waybill.publish(pool, OrderPaid, message)
}

export function overDrizzle(): void {
  const waybill = new Waybill({ service: 'order', database: drizzle(db) })
  type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0]
  void waybill.transaction(async (tx) => expectType<typeof tx, Tx>(true))
  void db.transaction((tx) => waybill.publish(tx, OrderPaid, message))
  // @ts-expect-error the root is in no transaction
  void waybill.publish(db, OrderPaid, message)
}

export function overMikroOrm(): void {
  const waybill = new Waybill({ service: 'order', database: mikroOrm(orm) })
  void waybill.transaction(async (tx) => expectType<typeof tx, MikroEntityManager>(true))
  void orm.em.transactional((tx) => waybill.publish(tx, OrderPaid, message))
  // @ts-expect-error MikroORM is in no transaction; that its `em` is in none is seen only when it runs
  void waybill.publish(orm, OrderPaid, message)
}
