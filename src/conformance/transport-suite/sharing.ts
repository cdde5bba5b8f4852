import assert from 'node:assert/strict'
import { type TransportPromise, needs } from '../transport-bench.ts'

/** Every service gets everything; the instances of one service share it. */
export const sharing: readonly TransportPromise[] = [
  {
    name: 'every service that subscribes gets every message',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const services = ['coupon', 'warehouse', 'red-packet', 'logistics'].map((name) => t.service(name))
      for (const service of services) await service.start({ topics: [topic] })
      const ids = await t.send(t.drafts(topic, 50))
      for (const service of services) await t.untilLanded(service, ids)
    },
  },
  {
    name: 'a service that cannot land keeps no other service from its messages',
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const [broken, coupon] = [t.service('broken'), t.service('coupon')]
      let isBroken = true
      await broken.start({ topics: [topic] }, (batch, record) => {
        if (isBroken && batch.messages.length > 0) throw new Error('the disk is full')
        record()
      })
      await coupon.start({ topics: [topic] })
      const ids = await t.send(t.drafts(topic, 20))
      await t.untilLanded(coupon, ids)
      assert.deepEqual(broken.missing(ids), ids)
      isBroken = false
      await t.untilLanded(broken, ids)
    },
  },
  {
    name: 'a service that is away misses nothing',
    missing: needs('durable'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const [coupon, warehouse] = [t.service('coupon'), t.service('warehouse')]
      const away = await coupon.start({ topics: [topic] })
      await warehouse.start({ topics: [topic] })
      await away.leave()
      const ids = await t.send(t.drafts(topic, 20))
      await t.untilLanded(warehouse, ids)
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, ids)
    },
  },
  {
    name: 'two instances of one service share its messages without loss',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const ids = await t.send(t.drafts(topic, 60))
      await coupon.start({ topics: [topic] })
      for (let round = 0; round < 5; round++) ids.push(...(await t.send(t.drafts(topic, 60))))
      await t.untilLanded(coupon, ids)
    },
  },
  {
    name: 'more instances than queues lose nothing',
    async run(t) {
      const topic = t.topic('order.paid', 1)
      const coupon = t.service()
      for (let instance = 0; instance < 3; instance++) await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 30)))
    },
  },
  {
    name: 'what an instance leaves behind, another takes over: after a clean stop',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      const first = await coupon.start({ topics: [topic] })
      await coupon.start({ topics: [topic] })
      const ids = await t.send(t.drafts(topic, 40))
      await first.leave()
      ids.push(...(await t.send(t.drafts(topic, 40))))
      await t.untilLanded(coupon, ids)
    },
  },
  {
    name: 'what an instance leaves behind, another takes over: after it vanished with batches in hand',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      const gone = await coupon.start({ topics: [topic] }, (batch, record): Promise<void> | void => {
        if (batch.messages.length > 0) return gone.never
        record()
      })
      const ids = await t.send(t.drafts(topic, 40))
      await t.until('it holds a batch', () => gone.landing > 0)
      await coupon.start({ topics: [topic] })
      await gone.vanish()
      ids.push(...(await t.send(t.drafts(topic, 40))))
      await t.untilLanded(coupon, ids)
    },
  },
  {
    name: 'instances that come and go, while messages are sent, lose nothing',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      const ids: string[] = []
      let previous = await coupon.start({ topics: [topic] })
      for (let round = 0; round < 5; round++) {
        const sending = t.send(t.drafts(topic, 30))
        const next = await coupon.start({ topics: [topic] })
        await previous.leave()
        previous = next
        ids.push(...(await sending))
      }
      await t.untilLanded(coupon, ids)
    },
  },
]
