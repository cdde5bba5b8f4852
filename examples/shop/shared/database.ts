/**
 * The services with Waybill run on SQLite, PostgreSQL and MySQL/MariaDB; what differs for them is in this file. A service of yours
 * knows its database and needs none of it: Waybill gets `sqlite('order.db')`, `pg(pool)` or `mysql2(pool)`, and `tx` is the handle
 * of that library.
 */

import type { PoolConnection } from 'mysql2/promise'
import type { PoolClient } from 'pg'
import type { Database } from 'waybill'
import { openDatabase, run, type Sql, type Statement } from './tables.ts'

/** SQLite answers at once, and so it must within a transaction; a server answers later. Both may be awaited. */
type MaybePromise<T> = T | Promise<T>

export interface ShopDatabase {
  /** For `new Waybill({ database })`. */
  readonly handle: Database<any>
  /** Outside of any transaction: on MySQL, making a table would commit it. */
  createTable(statement: Statement): MaybePromise<unknown>
  /** Runs a statement in Waybill's transaction. Answers how many rows changed. */
  run(tx: unknown, statement: Statement): MaybePromise<number>
  /** Runs an insert, which does nothing if the key is there already. Answers 0 then, else 1. */
  insertNew(tx: unknown, statement: Statement): MaybePromise<number>
}

/** Waybill takes a connection for each handler that runs, eight by default, and three more. */
const connectionsMax = 11
/** Nothing is handled in the broker's database. */
export const brokerConnectionsMax = 3

/** @param url `sqlite:order.db`, `postgres://…/order` or `mysql://…/order` */
export async function openShopDatabase(url: string, max = connectionsMax): Promise<ShopDatabase> {
  if (url.startsWith('sqlite:')) return await sqliteDatabase(url.slice('sqlite:'.length))
  if (url.startsWith('postgres')) return await postgresDatabase(url, max)
  return await mysqlDatabase(url, max)
}

async function sqliteDatabase(path: string): Promise<ShopDatabase> {
  const { sqlite } = await import('waybill/sqlite')
  return {
    handle: sqlite(path),
    createTable(statement) {
      const database = openDatabase(path)
      run(database, statement)
      database.close()
    },
    run: (tx, statement) => run(tx as Sql, statement),
    insertNew: (tx, { sql, values }) => run(tx as Sql, { sql: `${sql} on conflict do nothing`, values }),
  }
}

async function postgresDatabase(url: string, max: number): Promise<ShopDatabase> {
  const { pg } = await import('waybill/pg')
  const { Pool } = await import('pg')
  const pool = new Pool({ connectionString: url, max })
  // Without a listener, a connection that breaks while it is idle ends the process.
  pool.on('error', (error) => console.error('a connection to PostgreSQL was lost:', error))
  const runOn = async (tx: unknown, { sql, values }: Statement): Promise<number> => {
    let number = 0
    const numbered = sql.replaceAll('?', () => `$${(number += 1)}`)
    return (await (tx as PoolClient).query(numbered, [...values])).rowCount ?? 0
  }
  return {
    handle: pg(pool),
    createTable: ({ sql }) => pool.query(sql),
    run: runOn,
    insertNew: (tx, { sql, values }) => runOn(tx, { sql: `${sql} on conflict do nothing`, values }),
  }
}

async function mysqlDatabase(url: string, max: number): Promise<ShopDatabase> {
  const { mysql2 } = await import('waybill/mysql2')
  const { createPool } = await import('mysql2/promise')
  const pool = createPool({ uri: url.replace(/^mariadb:/, 'mysql:'), connectionLimit: max })
  const runOn = async (tx: unknown, { sql, values }: Statement): Promise<number> => {
    const [result] = await (tx as PoolConnection).execute(sql, [...values])
    return (result as { affectedRows: number }).affectedRows
  }
  return {
    handle: mysql2(pool),
    createTable: ({ sql }) => pool.query(sql),
    run: runOn,
    insertNew: (tx, { sql, values }) => runOn(tx, { sql: sql.replace('insert', 'insert ignore'), values }),
  }
}
