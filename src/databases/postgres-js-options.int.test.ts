import postgres from 'postgres'
import { describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../scripts/services/index.ts'
import { Waybill, topic } from '../index.ts'
import { systemPorts } from '../system.ts'
import { postgresJs } from './postgres-js.ts'

const found = await requireService('postgres')
const OrderPaid = topic<{ n: number }>('order.paid')

describe.skipIf('skipped' in found)('postgres.js with options of the user', () => {
  test.for([
    ['other names for columns', { transform: postgres.pascal }],
    [
      'a parser of its own for integers',
      { types: { int: { to: 23, from: [23], serialize: String, parse: (text: string) => BigInt(text) } } },
    ],
    ['one connection', { max: 1 }],
  ] as const)('with %s a connection to the server is not taken for a pooler', async ([, options]) => {
    await using database = await freshDatabase('postgres', 'url' in found ? found.url : '')
    const sql = postgres(database.url, { max: 2, onnotice() {}, ...(options as object) })
    const waybill = new Waybill({ service: 'order', database: postgresJs(sql), migrate: 'auto' })
    try {
      await waybill.schema()
      await waybill.transaction((tx) => waybill.publish(tx, OrderPaid, { body: { n: 1 } }))
      await sql.begin((tx) => waybill.publish(tx, OrderPaid, { body: { n: 2 } }))
      expect(await waybill.search({ topic: OrderPaid.name })).toHaveLength(2)
    } finally {
      await waybill.stop()
      await sql.end({ timeout: 5 })
    }
  })

  test('that asks for no types is refused: it would never hand out a connection that it opens for it', () => {
    const sql = postgres('postgres://127.0.0.1/unused', { fetch_types: false })
    const open = () => postgresJs(sql).open(systemPorts, { service: 'order', migrate: 'auto' })
    expect(open).toThrow(expect.objectContaining({ code: 'config.invalid' }))
  })
})
