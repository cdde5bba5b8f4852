import { afterEach, beforeEach } from 'vitest'
import { silentLog } from '../core/log.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import { type ConsumeOptions, Waybill, type WaybillOptions, fixedRetries, topic } from '../index.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { until } from '../testing/until.ts'

export interface Order {
  readonly n: number
}
export const OrderPaid = topic<Order>('order.paid')
export const operator = { by: 'test', because: 'testing' }

export let folder: ReturnType<typeof temporaryFolder>
/** The instance that was opened last. */
export let waybill: Waybill<SqliteTx, 'sync'>
const opened: Waybill<SqliteTx, 'sync'>[] = []

/** Opens another instance on the same file, closed after the test. */
export function open(options: Partial<WaybillOptions<SqliteTx, 'sync'>> = {}): Waybill<SqliteTx, 'sync'> {
  const instance = new Waybill({
    service: 'shop',
    database: sqlite(folder.file('shop.db')),
    log: silentLog,
    ...options,
  })
  opened.push(instance)
  waybill = instance
  return instance
}

/** Publishes 1…count, in order; the key is the number, the sharding key as given. */
export async function publish(count: number, shardingKey?: (n: number) => string, from = 1): Promise<void> {
  for (let n = from; n < from + count; n++)
    await waybill.publishNow(OrderPaid, { key: String(n), shardingKey: shardingKey?.(n), body: { n } })
}

export function effect(tx: SqliteTx, n: number, grp = 'red-packet'): void {
  tx.prepare('insert into effects values (?, ?)').run(n, grp)
}

export async function effects(grp = 'red-packet'): Promise<readonly number[]> {
  return waybill.transaction((tx) =>
    tx
      .prepare('select n from effects where grp = ? order by rowid')
      .all(grp)
      .map((row: { n: number }) => row.n),
  )
}

export function consume(
  options: Partial<ConsumeOptions>,
  handler: (n: number, tx: SqliteTx, attempt: number) => unknown,
): void {
  waybill.consume(
    OrderPaid,
    { group: 'red-packet', from: 'oldest', retry: fixedRetries('1ms', '1ms'), ...options },
    (message, { tx, attempt }) => handler(message.body.n, tx, attempt) as undefined,
  )
}

export const settled = (count: number): Promise<unknown> =>
  until(`${count} effects are there`, async () => (await effects()).length >= count)
export const dead = (count: number): Promise<unknown> =>
  until(`${count} dead letters are there`, async () => (await waybill.deadLetters.list()).length === count)
export const numbers = (count: number, from = 1): number[] =>
  Array.from({ length: count }, (_, i) => i + from)

/** Gives each test of the file a fresh database with a table of effects. */
beforeEach(async () => {
  folder = temporaryFolder()
  open()
  // No unique key: it would hide the very fault that the tests look for.
  await waybill.transaction((tx) => tx.exec('create table effects (n, grp)'))
})

afterEach(async () => {
  for (const instance of opened.splice(0)) await instance.stop({ withinMs: 0 })
  folder.remove()
})
