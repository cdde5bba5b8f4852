import { afterEach, beforeEach, test } from 'vitest'
import { deadLetter } from '../index.ts'
import { type Instance, OrderPaid, Scene, expectCodes } from './scene.fixture.ts'

// What a trace says of groups in other databases where the publisher's has no relay, or has dropped the message.
let scene: Scene

beforeEach(() => {
  scene = new Scene()
})

afterEach(() => scene.dispose())

const pay = (instance: Instance): Promise<string> =>
  instance.publishNow(OrderPaid, { key: 'order-1', body: { n: 1 } })

test('relay not running: none has ever run, and its groups are elsewhere', async () => {
  await pay(scene.open('order'))
  await scene.consumer('coupon', 'red-packet')
  const all = ['order', 'broker', 'coupon']
  expectCodes(await scene.trace('order-1', all), ['relay-not-running'])
  expectCodes(await scene.trace('order-1', all, { group: 'red-packet' }), ['relay-not-running'])
  expectCodes(await scene.trace('order-1', all, { group: 'red-packets' }), ['no-such-group'])
})

test('sent, and dropped from the log: what is known by its copy is not done with for the groups elsewhere', async () => {
  const coupon = await scene.consumer('coupon', 'red-packet')
  await scene.stop(coupon)
  const order = await scene.consumer('order', 'audit', () => deadLetter({ because: 'cannot be' }))
  const id = await pay(order)
  await scene.eventually('it is dead here, and sent', async () => {
    const isSent = (await order.lag()).every(({ waiting }) => waiting === 0)
    return isSent && (await order.deadLetters.list()).length === 1
  })
  await scene.stop(order)
  await scene.meddle('order', 'delete from waybill_messages')
  const found = await scene.trace(id, ['order', 'broker', 'coupon'])
  expectCodes(found, ['handler-dead', 'in-transit'])
})
