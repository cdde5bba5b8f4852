import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PrismaPg } from '@prisma/adapter-pg'
import { Pool } from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../scripts/services/index.ts'
import { Waybill, topic } from '../index.ts'
import { testTool } from './postgres-handles.fixture.ts'
import { type TestPrisma, importClient, withGenerated } from './prisma-client.fixture.ts'
import { prisma } from './prisma.ts'

const { PrismaClient, typeErrors } = await withGenerated('postgresql', async (folder) => ({
  ...(await importClient(folder)),
  typeErrors: compile(folder),
}))

await testTool<TestPrisma>({
  name: 'Prisma on pg',
  connect: async (url) => {
    const client = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 20 }) })
    return {
      database: (options) => prisma(client, options),
      run: (tx, text, params) => tx.$queryRawUnsafe(text, ...params),
      write: (tx) => tx.business.update({ where: { n: 1 }, data: { text: 'written' } }),
      transaction: (work) => client.$transaction(work),
      root: client,
      close: () => client.$disconnect(),
    }
  },
})

const OrderPaid = topic<{ n: number }>('order.paid')
const message = { body: { n: 1 } }
const found = await requireService('postgres')
const fresh = 'url' in found ? await freshDatabase('postgres', found.url) : undefined
const pool = new Pool({ connectionString: fresh?.url, max: 20 })
const sent: string[] = []
pool.on('connect', (connection) => {
  const query = connection.query as (...args: readonly unknown[]) => unknown
  Object.assign(connection, {
    query: (...args: readonly unknown[]) => {
      const [first] = args
      sent.push(typeof first === 'string' ? first : (first as { text: string }).text)
      return query.apply(connection, [...args])
    },
  })
})
const client = new PrismaClient({ adapter: new PrismaPg(pool) })
const waybill = new Waybill({ service: 'order', database: prisma(client), migrate: 'auto' })

afterAll(async () => {
  await waybill.stop()
  await client.$disconnect()
  await pool.end()
  await fresh?.drop()
})

test('the types of a generated client reach publish, handlers and waybill.transaction', () => {
  expect(typeErrors).toBe('')
})

describe.skipIf('skipped' in found)('Prisma over a pool of the user’s', () => {
  test('a publish is one round trip, whatever the number of messages', async () => {
    await waybill.schema()
    await client.$queryRawUnsafe('create table prisma_effects (id text primary key)')
    await client.$transaction(async (tx) => {
      sent.length = 0
      await waybill.publish(tx, OrderPaid, message)
      await waybill.publish(tx, OrderPaid, [message, message, message])
      const insert = expect.stringMatching(/^insert into "public".waybill_messages/)
      // What is asked of topics is not asked again once they are known.
      expect(sent.filter((text) => !text.includes('waybill_topics'))).toEqual([insert, insert])
    })
  })

  test('what models write commits with the message, and rolls back with it', async () => {
    const write = (id: string, fails: boolean): Promise<unknown> =>
      waybill.transaction(async (tx) => {
        await tx.effect.create({ data: { id } })
        await waybill.publish(tx, OrderPaid, { ...message, key: id })
        if (fails) throw new Error('no')
      })
    await write('kept', false)
    await expect(write('gone', true)).rejects.toThrow('no')
    expect(await client.$queryRawUnsafe('select id from prisma_effects')).toEqual([{ id: 'kept' }])
    expect((await waybill.search({ key: 'kept' })).length).toBe(1)
    expect(await waybill.search({ key: 'gone' })).toEqual([])
  })

  test('a model of a transaction that is over is refused', async () => {
    let kept: TestPrisma | undefined
    await waybill.transaction(async (tx) => void (kept = tx))
    await expect(async () => kept!.effect.create({ data: { id: 'late' } })).rejects.toThrow(
      /store.transaction-closed/,
    )
  })

  test('a nested transaction is a savepoint: what is published in one that is rolled back is gone', async () => {
    await client.$transaction(async (tx) => {
      const nested = tx.$transaction(async (inner) => {
        await waybill.publish(inner, OrderPaid, { ...message, key: 'inner' })
        throw new Error('no')
      })
      await expect(nested).rejects.toThrow('no')
      await waybill.publish(tx, OrderPaid, { ...message, key: 'outer' })
    })
    expect(await waybill.search({ key: 'inner' })).toEqual([])
    expect((await waybill.search({ key: 'outer' })).length).toBe(1)
  })

  test('a conflict says what it is as the cause of Prisma’s error, and is over once a savepoint was rolled back to', async () => {
    const raise = "do $$ begin raise exception 'x' using errcode = '40001'; end $$"
    await waybill.transaction(async (tx) => {
      await expect(tx.$transaction((inner) => inner.$queryRawUnsafe(raise))).rejects.toMatchObject({
        code: 'P2010',
        cause: { code: '40001' },
      })
      await tx.effect.create({ data: { id: 'after a conflict' } })
    })
    const ids = await client.$queryRawUnsafe('select id from prisma_effects')
    expect(ids).toContainEqual({ id: 'after a conflict' })
  })

  test('P32: a transaction of the user’s that is over is refused', async () => {
    let kept: TestPrisma | undefined
    await client.$transaction(async (tx) => void (kept = tx))
    await expect(async () => waybill.publish(kept!, OrderPaid, message)).rejects.toMatchObject({
      code: 'publish.no-transaction',
    })
  })

  test('a transaction that Prisma gave up after its time commits nothing', async () => {
    const short = new Waybill({
      service: 'order',
      database: prisma(client, { transactionTimeoutMs: 50 }),
    })
    const slow = short.transaction(async (tx) => {
      await short.publish(tx, OrderPaid, { ...message, key: 'slow' })
      await tx.$queryRawUnsafe('select pg_sleep(0.2)::text')
    })
    await expect(slow).rejects.toThrow(/timeout|closed|expired/i)
    expect(await waybill.search({ key: 'slow' })).toEqual([])
    await short.stop()
  })
})

/** What tsc says of the use of the generated client; each expectation fails to compile when it is not met. */
function compile(folder: string): string {
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: '../../tsconfig.json', include: ['types.ts'] }),
  )
  writeFileSync(
    join(folder, 'types.ts'),
    `
import { Waybill, topic } from 'waybill'
import { prisma } from 'waybill/prisma'
import type { Prisma, PrismaClient } from './client/client.ts'

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function expectType<A, B>(same: Equals<A, B>): void {
  void same
}
const OrderPaid = topic<{ n: number }>('order.paid')

export function overPrisma(client: PrismaClient): void {
  const waybill = new Waybill({ service: 'order', database: prisma(client) })
  void client.$transaction(async (tx) => {
    await tx.effect.create({ data: { id: '1' } })
    await waybill.publish(tx, OrderPaid, { body: { n: 1 } })
  })
  void waybill.transaction(async (tx) => expectType<typeof tx, Prisma.TransactionClient>(true))
  waybill.consume(OrderPaid, { group: 'a' }, async (_, { tx }) => {
    await tx.effect.create({ data: { id: '1' } })
    // @ts-expect-error there is no such model
    await tx.other.create({ data: { id: '1' } })
  })
  // @ts-expect-error an array of operations is no transaction
  void waybill.publish([], OrderPaid, { body: { n: 1 } })
}
`,
  )
  const tsc = ['node_modules/typescript/bin/tsc', '--project', folder, '--noEmit', '--pretty', 'false']
  const { stdout, stderr } = spawnSync(process.execPath, tsc, { encoding: 'utf8' })
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('.reports/'))
    .join('\n')
    .concat(stderr)
}
