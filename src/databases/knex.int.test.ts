import createKnex, { type Knex } from 'knex'
import { knex } from './knex.ts'
import { testTool } from './postgres-handles.fixture.ts'

await testTool<Knex.Transaction>({
  name: 'Knex',
  connect: async (url) => {
    const db = createKnex({ client: 'pg', connection: url, pool: { min: 0, max: 20 } })
    return {
      database: (options) => knex(db, options),
      run: async (tx, text, params) => tx.raw(text.replaceAll(/\$\d/g, '?'), [...params]),
      write: async (tx) => tx('business').where({ n: 1 }).update({ text: 'written' }),
      transaction: (work) => db.transaction(work),
      root: db,
      close: () => db.destroy(),
    }
  },
})
