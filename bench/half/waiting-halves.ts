import type { DatabaseSync } from 'node:sqlite'
import { v7 } from 'uuid'
import { topic } from 'waybill'
import type { Run } from '../harness/bench.ts'
import { assertFreeDisk } from '../harness/free-disk.ts'
import type { Paths } from '../harness/waiting.ts'
import { newWaybill, type Order, orderPaid, orders, userHandle } from '../sqlite/messages.ts'
import { halfSizes } from './sizes.ts'

/** What a half message of 1 KiB takes up in the file, with its indexes. */
const bytesPerHalf = 2_500
const perTransaction = 5_000

/** The topic of all that is measured, as whoever plants it sees it: nothing is checked while the bench runs. */
const neverChecked = topic<Order>(orderPaid.name, undefined, { half: { firstCheck: '365d' } })

/** Two files without half messages and one with a million that nobody has decided, each with a table of orders. */
export function waitingHalves(run: Run): Promise<Paths> {
  return run.shared('waiting-halves', async () => {
    const empty = await newShop(run.scratch('empty.db'))
    const again = await newShop(run.scratch('again.db'))
    const waiting = await newShop(run.scratch('waiting.db'))
    await plant(run, waiting)
    return { empty, again, waiting }
  })
}

/** A business key among those that wait: the index by key is met anywhere, not at its end. */
export function anyKey(run: Run, waiting: number): string {
  return `order-${Math.floor(run.random.next() * waiting)}`
}

async function newShop(path: string): Promise<string> {
  const waybill = newWaybill(path)
  await waybill.transaction((tx) =>
    tx.exec('create table orders (id text primary key, amount integer not null)'),
  )
  await waybill.stop()
  return path
}

/** One the usual way, and copies of it: the usual way is a commit for each, and would take ten minutes. */
async function plant(run: Run, path: string): Promise<void> {
  const { waiting, bodyBytes } = halfSizes(run)
  assertFreeDisk(path, waiting * bytesPerHalf)
  const waybill = newWaybill(path)
  waybill.onCheckBack(neverChecked, async () => 'unknown')
  const body = orders(bodyBytes)[0]!
  const { id } = await waybill.publishHalf(neverChecked, { key: 'order-0', body }, async () => 'unknown')
  await waybill.stop()
  const database = userHandle(path)
  run.progress.begin(`half: planting ${waiting}`, waiting / perTransaction)
  for (let done = 1; done < waiting; done += perTransaction) {
    copy(database, id, done, Math.min(perTransaction, waiting - done))
    run.progress.step()
  }
  database.close()
}

function copy(database: DatabaseSync, id: string, first: number, count: number): void {
  const ids = Array.from({ length: count }, () => v7())
  database
    .prepare(
      `insert into waybill_halves (id, service, topic, queue, key, sharding_key, body, body_hash, published_at, eligible_at, state, check_at)
       select copy.value, service, topic, (queue + copy.key) % 4, 'order-' || (? + copy.key), 'user-' || copy.key, body, body_hash,
         published_at, eligible_at, state, check_at + ? + copy.key
       from waybill_halves half, json_each(?) copy where half.id = ?`,
    )
    .run(first, first, JSON.stringify(ids), id)
}
