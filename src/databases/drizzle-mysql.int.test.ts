import { eq, sql } from 'drizzle-orm'
import { int, longtext, mysqlTable } from 'drizzle-orm/mysql-core'
import { drizzle as drizzleOverMysql2 } from 'drizzle-orm/mysql2'
import { createPool } from 'mysql2'
import { createPool as createPromisePool } from 'mysql2/promise'
import { drizzle } from './drizzle.ts'
import { testTool } from './mysql-handles.fixture.ts'

/** With its parameters in place, as the tag takes them. */
function statement(text: string, params: readonly string[]) {
  const [first, ...rest] = params.length === 0 ? [text] : text.split('?')
  return rest.reduce((whole, part, i) => sql`${whole}${params[i]}${sql.raw(part)}`, sql`${sql.raw(first!)}`)
}

const business = mysqlTable('business', { n: int().primaryKey(), text: longtext() })
const pools = {
  'Drizzle on mysql2': (url: string) => createPromisePool({ uri: url, connectionLimit: 20 }),
  'Drizzle on mysql2 with callbacks': (url: string) => createPool({ uri: url, connectionLimit: 20 }),
}

for (const [name, poolOf] of Object.entries(pools))
  await testTool({
    name,
    connect: async (url) => {
      const pool = poolOf(url)
      const db = drizzleOverMysql2(pool as ReturnType<typeof createPool>)
      return {
        database: (options) => drizzle(db, options),
        run: (tx, text, params) => tx.execute(statement(text, params)),
        write: (tx) => tx.update(business).set({ text: 'written' }).where(eq(business.n, 1)),
        transaction: (work) => db.transaction(work),
        root: db,
        close: async () => pool.end(() => {}),
      }
    },
  })
