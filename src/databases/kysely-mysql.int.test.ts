import { Kysely, MysqlDialect, type Transaction, sql } from 'kysely'
import { createPool } from 'mysql2'
import { kysely } from './kysely.ts'
import { testTool } from './mysql-handles.fixture.ts'

interface Tables {
  readonly business: { readonly n: number; readonly text: string }
}

await testTool<Transaction<Tables>>({
  name: 'Kysely on mysql2',
  connect: async (url) => {
    const db = new Kysely<Tables>({
      dialect: new MysqlDialect({ pool: createPool({ uri: url, connectionLimit: 20 }) }),
    })
    const schema = new URL(url).pathname.slice(1)
    return {
      database: (options) => kysely(db, { schema, ...options }),
      run: (tx, text, params) => statement(text, params).execute(tx),
      write: (tx) => tx.updateTable('business').set({ text: 'written' }).where('n', '=', 1).execute(),
      transaction: (work) => db.transaction().execute(work),
      root: db,
      close: () => db.destroy(),
    }
  },
  notClaimed: {
    'P32: the handle of another database’s transaction is refused':
      'not claimed: it is seen only when something is published, since Kysely does not show where it connects to',
  },
})

/** With its parameters in place, as the tag takes them. */
function statement(text: string, params: readonly string[]) {
  const [first, ...rest] = params.length === 0 ? [text] : text.split('?')
  return rest.reduce((whole, part, i) => sql`${whole}${params[i]}${sql.raw(part)}`, sql`${sql.raw(first!)}`)
}
