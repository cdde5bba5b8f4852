import createKnex, { type Knex } from 'knex'
import { knex } from './knex.ts'
import { testTool } from './mysql-handles.fixture.ts'

await testTool<Knex.Transaction>({
  name: 'Knex on mysql2',
  connect: async (url) => {
    const db = createKnex({ client: 'mysql2', connection: url, pool: { min: 0, max: 20 } })
    return {
      database: (options) => knex(db, options),
      run: async (tx, text, params) => tx.raw(text, [...params]),
      write: async (tx) => tx('business').where({ n: 1 }).update({ text: 'written' }),
      transaction: (work) => db.transaction(work),
      root: db,
      close: () => db.destroy(),
    }
  },
})
