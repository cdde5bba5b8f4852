import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, describe, expect, test } from 'vitest'
import { Waybill, topic } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { until } from 'waybill/testing'
import { BrokerClient } from '../../shop/broker/client.ts'
import { exampleBroker } from '../../shop/broker/transport.ts'
import type { SideName } from '../../shop/demo/sides.ts'
import { type OrderPaidBody, orderPaid } from '../../shop/shared/order-paid.ts'
import {
  createEffectsTable,
  createOrdersTable,
  insertEffect,
  insertOrder,
  openDatabase,
} from '../../shop/shared/tables.ts'
import { CaseSide } from './side.ts'

const program = join(import.meta.dirname, 'work-then-acknowledge.fixture.ts')
const nobodyAnswered = { status: 0 }
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const none = { once: 0, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 }

async function open(context: TestContext, name: SideName = 'naive'): Promise<CaseSide> {
  const side = await CaseSide.open(name)
  context.onTestFinished(() => side.close())
  return side
}

function bodyOf(orderId: string): OrderPaidBody {
  return { orderId, userId: 'user-1', amount: 100, publishedAtMs: 0 }
}

const paid = (orderId: string) => ({ topic: orderPaid, key: orderId, body: bodyOf(orderId) })

function commitOrders(side: CaseSide, ...orderIds: readonly string[]): void {
  mkdirSync(side.services.folderOf('order'), { recursive: true })
  const database = openDatabase(join(side.services.folderOf('order'), 'order.db'))
  createOrdersTable(database)
  for (const orderId of orderIds)
    insertOrder(database, { ...bodyOf(orderId), notification: 1, rollback: false })
  database.close()
}

describe('the network', () => {
  test('that is cut lets nothing through; repaired, it does again', async (context) => {
    const side = await open(context)
    const broker = new BrokerClient(side.network.url)
    await broker.publish([paid('order-1')])
    side.network.cut()
    await expect(broker.publish([paid('order-2')])).rejects.toMatchObject(nobodyAnswered)
    expect((await side.broker.client.health()).published).toBe(1)
    expect(side.network.unanswered('/publish')).toBe(1)
    side.network.repair()
    await broker.publish([paid('order-2')])
    expect((await side.broker.client.health()).published).toBe(2)
    expect(side.network.unanswered('/publish')).toBe(1)
  })

  test('that is cut ends calls that wait for their answer', async (context) => {
    const side = await open(context)
    const waiting = new BrokerClient(side.network.url).receive({
      group: 'coupon',
      topics: [orderPaid],
      max: 1,
      waitMs: 10_000,
    })
    waiting.catch(() => {})
    await until('the call has arrived', async () => 'coupon' in (await side.broker.client.health()).groups)
    side.network.cut()
    await expect(waiting).rejects.toMatchObject(nobodyAnswered)
  })

  test('loses one request before it arrives, of the path that was named', async (context) => {
    const side = await open(context)
    const broker = new BrokerClient(side.network.url)
    const lost = side.network.loseNextRequest('/publish')
    await broker.health()
    await expect(broker.publish([paid('order-1')])).rejects.toMatchObject(nobodyAnswered)
    await lost
    expect((await broker.health()).published).toBe(0)
    await broker.publish([paid('order-1')])
    expect((await broker.health()).published).toBe(1)
  })

  test('loses one answer after the request took effect', async (context) => {
    const side = await open(context)
    const broker = new BrokerClient(side.network.url)
    const lost = side.network.loseNextAnswer('/publish')
    await expect(broker.publish([paid('order-1')])).rejects.toMatchObject(nobodyAnswered)
    await lost
    expect((await broker.health()).published).toBe(1)
    await broker.publish([paid('order-1')])
    expect((await broker.health()).published).toBe(2)
  })
})

describe('the broker', () => {
  test('is killed, is down, and comes back on its port with what it had answered', async (context) => {
    const side = await open(context)
    const broker = new BrokerClient(side.network.url)
    await broker.publish([paid('order-1')])
    await side.broker.kill()
    await expect(broker.publish([paid('order-2')])).rejects.toMatchObject(nobodyAnswered)
    await side.broker.start()
    expect((await broker.health()).published).toBe(1)
  })

  test('loses its files only while it is down, and has nothing left then', async (context) => {
    const side = await open(context)
    await side.broker.client.publish([paid('order-1')])
    expect(() => side.broker.loseData()).toThrow('stop or kill the broker')
    await side.broker.stop()
    side.broker.loseData()
    await side.broker.start()
    expect((await side.broker.client.health()).published).toBe(0)
  })
})

describe('a service', () => {
  test('is killed between its work and its acknowledgement: the effect is there, and comes again', async (context) => {
    const side = await open(context)
    commitOrders(side, 'order-1', 'order-2')
    await side.services.start({ name: 'coupon', program })
    const { dead } = await side.services.killAt('coupon', 'worked, not acknowledged')
    await side.broker.client.publish([paid('order-1')])
    await dead
    expect(side.effects('coupon')).toBe(1)
    expect(await side.broker.client.pendingKeys('coupon')).toEqual(['order-1'])
    await side.services.restart('coupon')
    await side.broker.client.publish([paid('order-2')])
    await until('all is handled', () => side.effects('coupon') === 3)
    await side.untilNothingIsPending(['coupon'])
    const { total, offenders } = await side.ledger(['coupon'])
    expect(total).toEqual({ ...none, once: 1, duplicate: 1 })
    expect(offenders).toEqual([{ group: 'coupon', orderId: 'order-1', class: 'duplicate' }])
  })

  test('that ends by itself fails the case', async (context) => {
    const side = await open(context)
    await expect(side.services.start({ name: 'coupon', program, args: ['--nonsense'] })).rejects.toThrow(
      '--nonsense',
    )
    await expect(side.failure).rejects.toThrow('coupon ended by itself')
  })

  test('has its database taken away while it is stopped, and given back as it was', async (context) => {
    const side = await open(context)
    commitOrders(side, 'order-1')
    await side.services.start({ name: 'coupon', program })
    expect(() => side.services.takeDatabaseAway('coupon')).toThrow('open; stop it first')
    await side.broker.client.publish([paid('order-1')])
    await until('it is handled', () => side.effects('coupon') === 1)
    await side.services.stop('coupon')
    const putBack = side.services.takeDatabaseAway('coupon')
    const file = join(side.services.folderOf('coupon'), 'coupon.db')
    expect(() => new DatabaseSync(file)).toThrow('unable to open database file')
    putBack()
    await side.services.restart('coupon')
    expect((await side.ledger(['coupon'])).total).toEqual({ ...none, once: 1 })
  })
})

describe('the ledger', () => {
  test('of a naive side tells lost, stuck and phantom apart', async (context) => {
    const side = await open(context)
    commitOrders(side, 'order-lost', 'order-stuck')
    await side.broker.client.receive({ group: 'coupon', topics: [orderPaid], max: 1, waitMs: 0 })
    await side.broker.client.publish([paid('order-stuck')])
    mkdirSync(side.services.folderOf('coupon'))
    const database = openDatabase(join(side.services.folderOf('coupon'), 'coupon.db'))
    createEffectsTable(database)
    const effect = {
      orderId: 'order-rolled-back',
      group: 'coupon',
      messageId: 'm',
      incarnation: 1,
      publishedAtMs: 0,
    }
    insertEffect(database, effect)
    database.close()
    expect((await side.ledger(['coupon'])).total).toEqual({ ...none, lost: 1, stuck: 1, phantom: 1 })
    expect((await side.ledger(['coupon'], ['order-lost'])).total).toEqual({ ...none, lost: 1 })
  })

  test('of a side with Waybill: what only the broker had when it lost its files is lost, and not pending', async (context) => {
    const side = await open(context, 'waybill')
    commitOrders(side, 'order-1')
    const order = new Waybill({
      service: 'order',
      database: sqlite(side.services.databaseOf('order')),
      transport: exampleBroker({ url: side.network.url }),
      leaseMs: 1_000,
      log: silent,
    })
    context.onTestFinished(() => order.stop())
    await order.start()
    await order.publishNow(topic<OrderPaidBody>(orderPaid), { key: 'order-1', body: bodyOf('order-1') })
    await until('the broker has it', () => side.broker.storedIds().size === 1)
    expect((await side.ledger(['coupon'])).total).toEqual({ ...none, stuck: 1 })
    // What was not answered would be sent again, and not be lost.
    await until('it is known to be sent', async () =>
      (await order.lag()).every(({ waiting }) => waiting === 0),
    )
    await side.broker.kill()
    side.broker.loseData()
    await side.broker.start()
    expect((await side.ledger(['coupon'])).total).toEqual({ ...none, lost: 1 })
  })

  test('of a side with Waybill: every fault of the network and the broker, and every order once', async (context) => {
    const side = await open(context, 'waybill')
    const OrderPaid = topic<OrderPaidBody>(orderPaid)
    const waybillOf = (service: string) => {
      mkdirSync(side.services.folderOf(service), { recursive: true })
      const waybill = new Waybill({
        service,
        database: sqlite(join(side.services.folderOf(service), `${service}.db`)),
        transport: exampleBroker({ url: side.network.url }),
        leaseMs: 1_000,
        log: silent,
      })
      context.onTestFinished(() => waybill.stop())
      return waybill
    }
    const [order, coupon] = [waybillOf('order'), waybillOf('coupon')]
    await order.transaction((tx) => createOrdersTable(tx))
    await coupon.transaction((tx) => createEffectsTable(tx))
    coupon.consume(OrderPaid, { group: 'coupon' }, ({ body, id }, { tx }) =>
      insertEffect(tx, { ...body, group: 'coupon', messageId: id, incarnation: 1 }),
    )
    await Promise.all([order.start(), coupon.start()])
    const pay = (orderId: string) =>
      order.transaction((tx) => {
        insertOrder(tx, { ...bodyOf(orderId), notification: 1, rollback: false })
        order.publish(tx, OrderPaid, { key: orderId, body: bodyOf(orderId) })
      })
    const effects = (count: number) => until(`${count} effects`, () => side.effects('coupon') === count)

    const lost = [side.network.loseNextRequest('/publish'), side.network.loseNextAnswer('/publish')]
    await pay('order-1')
    await Promise.all(lost)
    await effects(1)
    const unsettled = side.network.loseNextAnswer('/settle')
    await pay('order-2')
    await unsettled
    await effects(2)
    side.network.cut()
    await pay('order-3')
    expect((await side.ledger(['coupon'])).total).toEqual({ ...none, once: 2, stuck: 1 })
    side.network.repair()
    await effects(3)
    await side.broker.kill()
    await pay('order-4')
    await side.broker.start()
    await effects(4)
    await side.broker.stop()
    side.broker.loseData()
    await side.broker.start()
    await pay('order-5')
    await effects(5)
    await side.untilNothingIsPending(['coupon'])
    expect((await side.ledger(['coupon'])).total).toEqual({ ...none, once: 5 })
  })
})
