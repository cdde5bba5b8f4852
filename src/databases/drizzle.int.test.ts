import { eq, sql } from 'drizzle-orm'
import { type PgDatabase, integer, pgTable, text as textColumn } from 'drizzle-orm/pg-core'
import { drizzle as drizzleOverPg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleOverPostgresJs } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { drizzle } from './drizzle.ts'
import type { ConnectedTool } from './connected-tool.fixture.ts'
import { poolOf, testTool } from './postgres-handles.fixture.ts'

/** With its parameters in place, as the tag takes them. */
function statement(text: string, params: readonly string[]) {
  const [first, ...rest] = text.split(/\$\d/)
  return rest.reduce((whole, part, i) => sql`${whole}${params[i]}${sql.raw(part)}`, sql`${sql.raw(first!)}`)
}

await testTool({
  name: 'Drizzle on pg',
  connect: async (url) => {
    const pool = poolOf(url)
    const db = drizzleOverPg(pool)
    return connected(db, () => pool.end())
  },
})

await testTool({
  name: 'Drizzle on postgres.js',
  connect: async (url) => {
    const client = postgres(url, { max: 20, onnotice: () => {} })
    return connected(drizzleOverPostgresJs(client), () => client.end({ timeout: 1 }))
  },
})

const business = pgTable('business', { n: integer().primaryKey(), text: textColumn() })

function connected<Tx extends PgDatabase<any, any, any>>(
  db: { transaction<R>(work: (tx: Tx) => Promise<R>): Promise<R> },
  close: () => Promise<unknown>,
): ConnectedTool<Tx> {
  return {
    database: (options) => drizzle(db, options),
    run: (tx, text, params) => tx.execute(statement(text, params)),
    write: (tx) => tx.update(business).set({ text: 'written' }).where(eq(business.n, 1)),
    transaction: (work) => db.transaction(work),
    root: db,
    close,
  }
}
