import { Kysely, PostgresDialect, type Transaction, sql } from 'kysely'
import { kysely } from './kysely.ts'
import { poolOf, testTool } from './postgres-handles.fixture.ts'

interface Tables {
  readonly business: { readonly n: number; readonly text: string }
}

await testTool<Transaction<Tables>>({
  name: 'Kysely',
  connect: async (url) => {
    const pool = poolOf(url)
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
    return {
      database: (options) => kysely(db, options),
      run: (tx, text, params) => statement(text, params).execute(tx),
      write: (tx) => tx.updateTable('business').set({ text: 'written' }).where('n', '=', 1).execute(),
      transaction: (work) => db.transaction().execute(work),
      root: db,
      close: () => db.destroy(),
    }
  },
  notClaimed: {
    'P32: the handle of another database’s transaction is refused':
      'not claimed: Kysely does not show where it connects to',
  },
})

/** With its parameters in place, as the tag takes them. */
function statement(text: string, params: readonly string[]) {
  const [first, ...rest] = text.split(/\$\d/)
  return rest.reduce((whole, part, i) => sql`${whole}${params[i]}${sql.raw(part)}`, sql`${sql.raw(first!)}`)
}
