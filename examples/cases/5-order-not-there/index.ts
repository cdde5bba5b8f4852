/**
 * Case 5: the event is sent inside the transaction, before the commit. The commit is slow, and who looks the order up finds nothing; or the
 * transaction rolls back, and the event is of an order that never was. Then the three cures with the same faults, and with their process killed
 * the moment after the commit: one of them may lose, and is not in the books.
 */

import { join } from 'node:path'
import type { SideName } from '../../shop/demo/sides.ts'
import { classes, type Ledger, type Tally } from '../../shop/ledger.ts'
import { type CaseContext, type CaseResult, describeBooks } from '../case.ts'
import type { CaseSide } from '../harness/side.ts'
import type { Cure, Fate, OrderRequest } from './order-request.ts'
import { groups, Stage } from './stage.ts'

type Way = Cure | 'inside the transaction'

const wayNames: Readonly<Record<Way, string>> = {
  'inside the transaction': 'naive: inside the transaction 事务内发送',
  'after the commit': 'after the commit 提交后发送',
  'half message': 'half message 半消息',
  'local message table': 'local message table 本地消息表',
}
const fateNames: Readonly<Record<Fate, string>> = {
  slow: 'slow commit 提交慢',
  'rolls back': 'rolled back 回滚',
  'dies after it': 'killed after it 提交后被强杀',
}
const fates = Object.keys(fateNames) as readonly Fate[]
const nameColumns = 44
const fateColumns = 30

export async function run(context: CaseContext): Promise<CaseResult> {
  // The naive service does not ask which cure: it gets as many orders as Waybill gets for two.
  const naiveOrders = ordersOf(['half message', 'local message table'], ['slow', 'rolls back'])
  const keptOrders = ordersOf(['half message', 'local message table'], fates)
  const lossyOrders = ordersOf(['after the commit'], fates)

  const naive = await placeAll('naive', naiveOrders)
  const waybill = await placeAll('waybill', keptOrders, (side) => showTrace(context, side, keptOrders[0]!))
  const lossy = await placeAll('waybill', lossyOrders, (side) =>
    showTrace(context, side, lossyOrders.at(-1)!),
  )

  context.say('')
  context.say(
    row(
      '',
      fates.map((fate) => fateNames[fate]),
    ),
  )
  showWay(context, 'inside the transaction', naive, naiveOrders)
  showWay(context, 'after the commit', lossy, lossyOrders)
  for (const cure of ['half message', 'local message table'] as const)
    showWay(
      context,
      cure,
      waybill,
      keptOrders.filter((order) => order.cure === cure),
    )
  context.say('“after the commit” may lose by its nature, and is not in the books below.')
  context.say('“提交后发送”本来就可能丢失，不计入下面的账目。')
  const owed = keptOrders.filter(({ fate }) => fate !== 'rolls back').length * groups.length
  return { case: 5, naive: naive.total, waybill: waybill.total, expected: { once: owed } }
}

function ordersOf(cures: readonly Cure[], wanted: readonly Fate[]): readonly OrderRequest[] {
  const common = { userId: 'ann', amount: 100, rollback: false, notification: 1 }
  const idOf = (cure: Cure, fate: Fate): string => `${cure}, ${fate}`.replaceAll(/\W+/g, '-')
  return cures.flatMap((cure) => wanted.map((fate) => ({ ...common, orderId: idOf(cure, fate), cure, fate })))
}

async function placeAll(
  name: SideName,
  orders: readonly OrderRequest[],
  look: (side: CaseSide) => Promise<void> = () => Promise.resolve(),
): Promise<Ledger> {
  await using stage = await Stage.open(name)
  for (const order of orders) await stage.place(order)
  await look(stage.side)
  const vain = stage.vainLookUps()
  if (name === 'waybill' && vain.length > 0)
    throw new Error(`the warehouse looked in vain for ${vain.join(', ')}`)
  return await stage.side.ledger(groups)
}

async function showTrace(
  context: CaseContext,
  { services }: CaseSide,
  { orderId }: OrderRequest,
): Promise<void> {
  const fileOf = (name: string): readonly [string, string] => [
    name,
    join(services.folderOf(name), `${name}.db`),
  ]
  await context.showTrace(Object.fromEntries(['order', ...groups].map(fileOf)), orderId)
}

function showWay(context: CaseContext, way: Way, ledger: Ledger, orders: readonly OrderRequest[]): void {
  const cells = fates.map((fate) => {
    const own = orders.filter((order) => order.fate === fate)
    return own.length === 0 ? '–' : describeBooks(booksOf(ledger, own))
  })
  context.say(row(wayNames[way], cells))
}

/** Each group owes each of the orders one effect, or none if it rolls back. */
function booksOf({ offenders }: Ledger, orders: readonly OrderRequest[]): Tally {
  const found = offenders.filter(({ orderId }) => orders.some((order) => order.orderId === orderId))
  const owed = orders.filter(({ fate }) => fate !== 'rolls back').length * groups.length
  const once = owed - found.filter((offender) => offender.class !== 'phantom').length
  const counts = classes.map((name) => [name, found.filter((offender) => offender.class === name).length])
  return { ...Object.fromEntries(counts), once }
}

function row(name: string, cells: readonly string[]): string {
  return padded(name, nameColumns) + cells.map((cell) => padded(cell, fateColumns)).join('')
}

/** Chinese characters are two columns wide. */
function padded(text: string, columns: number): string {
  const wide = text.match(/\p{Script=Han}/gu)?.length ?? 0
  return text.padEnd(columns - wide)
}
