import postgres, { type TransactionSql } from 'postgres'
import { postgresJs } from './postgres-js.ts'
import { testTool } from './postgres-handles.fixture.ts'

await testTool<TransactionSql>({
  name: 'postgres.js',
  connect: async (url) => {
    const sql = postgres(url, { max: 20, onnotice: () => {} })
    return {
      database: (options) => postgresJs(sql, options),
      run: async (tx, text, params) => tx.unsafe(text, [...params]),
      write: async (tx) => tx`update business set text = ${'written'} where n = 1`,
      transaction: (work) => sql.begin(work),
      root: sql,
      close: () => sql.end({ timeout: 1 }),
    }
  },
})
