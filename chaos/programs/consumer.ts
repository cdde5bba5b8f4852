/** A consuming service: each group writes one row per message into a table without unique keys, so that a second effect would show. */
import { appendFileSync, existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type SqliteTx, sqlite } from '../../src/databases/sqlite.ts'
import { type ConsumeOptions, type Message, Waybill, fixedRetries, isWaybillError } from '../../src/index.ts'
import { die } from '../../src/testing/crash-points.ts'
import { databaseTransport } from '../../src/transports/database/index.ts'
import { Issued, type OrderBody, healedFile, ordersTopic } from './messages.ts'
import { configuration, on, portsOfTest, stopOnTerminate, tell } from './program.ts'

export interface GroupConfig {
  readonly group: string
  readonly ordered?: boolean
  readonly onFailure?: 'hold' | 'skip'
  readonly batch?: number
  readonly concurrency?: number
  /** Retries after the first delivery, each 5 ms later. */
  readonly retries?: number
  /** How long a handler takes before its first statement. */
  readonly workMs?: number
  /** Publishes `coupon.issued` in the handler's transaction. */
  readonly issues?: boolean
  /** Consumes `coupon.issued` instead of the orders. */
  readonly ofIssued?: boolean
}

export interface ConsumerConfig {
  readonly folder: string
  readonly service: string
  readonly queues: number
  readonly leaseMs: number
  readonly groups: readonly GroupConfig[]
  readonly stopWithinMs?: number
}

const config = configuration<ConsumerConfig>()
const topic = ordersTopic(config.queues)
const waybill = new Waybill({
  service: config.service,
  database: sqlite(join(config.folder, `${config.service}.db`)),
  transport: databaseTransport({ database: sqlite(join(config.folder, 'broker.db')) }),
  leaseMs: config.leaseMs,
  ports: portsOfTest(),
})

await waybill.transaction((tx) => {
  tx.exec(
    'create table if not exists effects (grp text, n integer, account text, pid integer, attempt integer)',
  )
})

const isHealed = (): boolean => existsSync(join(config.folder, healedFile))

/** How often an order was given to a handler, this delivery among them. In a file: a transaction that rolls back must not take it back. */
function deliveries({ n }: OrderBody, { group }: GroupConfig): number {
  const file = join(config.folder, `deliveries-${group}-${n}`)
  appendFileSync(file, '.')
  return statSync(file).size
}

const leaves = new Map<string, () => void>()
on('go', (event) => leaves.get(`${String(event['group'])}/${String(event['n'])}`)?.())

/** What a handler does before its first statement: fail, die, wait or work, as the order wants. */
async function prepare(body: OrderBody, group: GroupConfig, attempt: number): Promise<void> {
  if (attempt <= (body.failures ?? 0)) throw new Error(`planted failure ${attempt} of order ${body.n}`)
  if (body.sick && !isHealed()) throw new Error('planted sickness')
  if (body.sickFor !== undefined && deliveries(body, group) <= body.sickFor)
    throw new Error('planted sickness of some deliveries')
  if (body.waits) {
    tell({ type: 'waits', n: body.n, group: group.group })
    await new Promise<void>((resolve) => leaves.set(`${group.group}/${body.n}`, resolve))
  }
  if (group.workMs !== undefined) await wait(group.workMs)
}

function write(tx: SqliteTx, body: OrderBody, group: string, attempt: number): void {
  try {
    tx.prepare('insert into effects values (?, ?, ?, ?, ?)').run(
      group,
      body.n,
      body.account,
      process.pid,
      attempt,
    )
  } catch (error) {
    if (isWaybillError(error, 'store.lease-lost')) tell({ type: 'refused', n: body.n, group })
    throw error
  }
  // In the open transaction, with its effect written: the worst moment.
  if (body.poison && !isHealed()) die(`order ${body.n} is poison`)
}

for (const group of config.groups) {
  const options: ConsumeOptions = {
    group: group.group,
    from: 'oldest',
    retry: fixedRetries(...Array.from({ length: group.retries ?? 3 }, () => '5ms' as const)),
    ...(group.ordered ? { order: 'sharding-key', onFailure: group.onFailure ?? 'hold' } : {}),
    ...(group.concurrency === undefined ? {} : { concurrency: group.concurrency }),
  }
  if (group.batch === undefined)
    waybill.consume(group.ofIssued ? Issued : topic, options, async ({ body }, { tx, attempt, publish }) => {
      await prepare(body, group, attempt)
      if (group.issues) publish(Issued, { key: `order-${body.n}`, shardingKey: body.account, body })
      write(tx, body, group.group, attempt)
    })
  else
    waybill.consume(topic, { ...options, batch: group.batch }, async (messages, { tx, attempt }) => {
      for (const { body } of messages as readonly Message<OrderBody>[]) await prepare(body, group, attempt)
      for (const { body } of messages) write(tx, body, group.group, attempt)
    })
}

const note = { by: 'test', because: 'healed' }
on('redrive', (event) => {
  void (async () => {
    const dead = await waybill.deadLetters.list({ group: event['group'] as string })
    const count = await waybill.deadLetters.redrive(dead, note)
    tell({ type: 'redriven', count })
  })()
})
on('discard', (event) => {
  void (async () => {
    const dead = await waybill.deadLetters.list({ group: event['group'] as string })
    const count = await waybill.deadLetters.discard(dead, { by: 'test', because: 'beyond help' })
    tell({ type: 'given-up', count })
  })()
})
on('start-redrive', (event) => {
  void (async () => {
    const { id, group, perSecond } = event as { id?: string; group?: string; perSecond?: number }
    tell({
      type: 'redrive',
      ...(await waybill.redrives.start({ group: group! }, { id: id!, perSecond: perSecond!, ...note })),
    })
  })()
})
on('change-redrive', (event) => {
  void (async () => {
    const { id, change } = event as { id?: string; change?: 'pause' | 'resume' | 'cancel' }
    tell({ type: 'redrive', ...(await waybill.redrives[change!](id!, note)) })
  })()
})
on('metrics', () => void (async () => tell({ type: 'metrics', text: await waybill.metrics() }))())
stopOnTerminate(() => waybill.stop({ withinMs: config.stopWithinMs ?? 10_000 }))
tell({ type: 'starting' })
await waybill.start()
tell({ type: 'ready' })
