import assert from 'node:assert/strict'
import type { TransportClaims } from '../transport-subject.ts'
import { turn } from '../played-service.ts'
import { rejectsWith } from '../store-bench.ts'
import { type TransportBench, type TransportPromise, idsOf, needs } from '../transport-bench.ts'

/** P26: what a service wants is declared before anything is received; where it starts counts once. */
export const subscribing: readonly TransportPromise[] = [
  {
    name: "P26: from 'oldest': what was sent before the subscription arrives, and what comes after it",
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const before = await t.send(t.drafts(topic, 5))
      const coupon = t.service()
      await coupon.start({ topics: [topic], from: 'oldest' })
      await t.untilLanded(coupon, [...before, ...(await t.send(t.drafts(topic, 5)))])
    },
  },
  {
    name: "P26: from 'now': only what comes after the subscription arrives",
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const before = await t.send(t.drafts(topic, 5))
      const coupon = t.service()
      await coupon.start({ topics: [topic], from: 'now' })
      const after = await t.send(t.drafts(topic, 10))
      await t.untilLanded(coupon, after)
      assert.deepEqual(coupon.missing(before), before)
    },
  },
  {
    name: "P26: from 'now' is when the service subscribes, not when it first receives",
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const instance = await coupon.connect({ topics: [topic], from: 'now' })
      const between = await t.send(t.drafts(topic, 10))
      instance.receive()
      await t.untilLanded(coupon, between)
    },
  },
  {
    name: 'P26: from a Date: what is older does not arrive, what is not does',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const before = await t.send(t.drafts(topic, 5))
      const date = await nextMoment(t)
      const since = await t.send(t.drafts(topic, 5))
      const coupon = t.service()
      await coupon.start({ topics: [topic], from: date })
      await t.untilLanded(coupon, [...since, ...(await t.send(t.drafts(topic, 5)))])
      assert.deepEqual(coupon.missing(before), before)
    },
  },
  {
    name: 'P26: from a Date before everything is the oldest, from one in the future is now',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic()
      const before = await t.send(t.drafts(topic, 3))
      const [early, late] = [t.service('early'), t.service('late')]
      await early.start({ topics: [topic], from: new Date(0) })
      await late.start({ topics: [topic], from: new Date(t.subject.ports.clock.now() + 3_600_000) })
      const after = await t.send(t.drafts(topic, 3))
      await t.untilLanded(early, [...before, ...after])
      await t.untilLanded(late, after)
      assert.deepEqual(late.missing(before), before)
    },
  },
  {
    name: 'P26: older messages and no start position: group.start-position-needed, with their count; once it is said, all goes well',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const before = await t.send(t.drafts(topic, 7))
      const coupon = t.service()
      const error = await rejectsWith('group.start-position-needed', () =>
        coupon.connect({ topics: [topic], from: undefined, groups: ['red-packet'] }),
      )
      assert.equal(error.facts['older'], 7)
      assert.match(error.message, /\b7\b/)
      assert.match(error.message, /red-packet/)
      await coupon.start({ topics: [topic], from: 'oldest', groups: ['red-packet'] })
      await t.untilLanded(coupon, before)
    },
  },
  {
    name: 'P26: no older messages: no start position is needed, and nothing that comes is missed',
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const instance = await coupon.connect({ topics: [topic], from: undefined })
      const ids = await t.send(t.drafts(topic, 5))
      instance.receive()
      await t.untilLanded(coupon, ids)
    },
  },
  {
    name: 'P26: the start position counts once: later ones skip nothing and need not be said',
    missing: needs('durable'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const first = await coupon.start({ topics: [topic], from: 'oldest' })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 3)))
      await first.leave()
      const meanwhile = await t.send(t.drafts(topic, 5))
      const second = await coupon.start({ topics: [topic], from: 'now' })
      await t.untilLanded(coupon, meanwhile)
      await second.leave()
      const later = await t.send(t.drafts(topic, 5))
      const third = await coupon.connect({ topics: [topic], from: undefined })
      third.receive()
      await t.untilLanded(coupon, later)
    },
  },
  {
    name: 'P26: subscribing again on the same connection changes nothing',
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      const instance = await coupon.connect({ topics: [topic], from: 'oldest' })
      const between = await t.send(t.drafts(topic, 3))
      await instance.subscribe({ topics: [topic], from: 'now' })
      instance.receive()
      await t.untilLanded(coupon, between)
    },
  },
  {
    name: 'P26: the same group on another database is refused: group.other-database; its own database may come again',
    missing: ({ registersGroups }: TransportClaims) =>
      registersGroups ? undefined : 'to know which database consumes a group',
    async run(t) {
      const topic = t.topic()
      const groups = [t.name('red-packet')]
      const coupon = t.service()
      await coupon.start({ topics: [topic], groups })
      const impostor = t.service('impostor')
      const error = await rejectsWith('group.other-database', () =>
        impostor.connect({ topics: [topic], from: 'oldest', groups }),
      )
      assert.match(error.message, new RegExp(groups[0]!.replaceAll('.', '\\.')))
      await coupon.start({ topics: [topic], groups })
      await impostor.start({ topics: [topic], groups: [t.name('red-packet')] })
      const ids = await t.send(t.drafts(topic, 3))
      await t.untilLanded(coupon, ids)
      await t.untilLanded(impostor, ids)
    },
  },
  {
    name: 'a service subscribes to a topic that nobody has sent to yet',
    async run(t) {
      const topic = t.topic('order.paid', 3)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 9)))
    },
  },
  {
    name: 'services that subscribe at the same moment each get everything',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const services = ['coupon', 'warehouse', 'red-packet'].map((name) => t.service(name))
      await Promise.all(services.map((service) => service.start({ topics: [topic] })))
      const ids = await t.send(t.drafts(topic, 20))
      for (const service of services) await t.untilLanded(service, ids)
    },
  },
  {
    name: 'P19: services that subscribe at the same moment with other numbers of queues get everything, also of the topics that only one wants',
    async run(t) {
      const [paid, shipped, packed] = [
        t.topic('order.paid', 2),
        t.topic('order.shipped'),
        t.topic('order.packed'),
      ]
      const [coupon, warehouse] = [t.service('coupon'), t.service('warehouse')]
      await Promise.all([
        coupon.start({ topics: [{ ...paid, queues: 4 }, packed] }),
        warehouse.start({ topics: [{ ...paid, queues: 3 }, shipped] }),
      ])
      const ids = idsOf([...t.drafts(paid, 0)])
      for (const topic of [paid, shipped, packed]) ids.push(...(await t.send(t.drafts(topic, 8))))
      await t.untilLanded(coupon, [...ids.slice(0, 8), ...ids.slice(16)])
      await t.untilLanded(warehouse, ids.slice(0, 16))
    },
  },
  {
    name: 'instances of one service that subscribe at the same moment lose nothing',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      await Promise.all([1, 2, 3].map(() => coupon.start({ topics: [topic] })))
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 40)))
    },
  },
  {
    name: 'P26: a topic that a service adds later starts where it says, and the others go on where they were',
    missing: needs('durable'),
    async run(t) {
      const [paid, shipped] = [t.topic('order.paid', 2), t.topic('order.shipped', 2)]
      const coupon = t.service()
      const first = await coupon.start({ topics: [paid] })
      await t.untilLanded(coupon, await t.send(t.drafts(paid, 4)))
      await first.leave()
      const missed = await t.send(t.drafts(shipped, 4))
      const waiting = await t.send(t.drafts(paid, 4))
      await coupon.start({ topics: [paid, shipped], from: 'now' })
      const after = await t.send(t.drafts(shipped, 8))
      await t.untilLanded(coupon, [...waiting, ...after])
      assert.deepEqual(coupon.missing(missed), missed)
    },
  },
  {
    name: 'P26: a new version of a service that adds a topic gets all of it while the old version still runs',
    async run(t) {
      const [paid, shipped] = [t.topic('order.paid', 4), t.topic('order.shipped', 4)]
      const coupon = t.service()
      await coupon.start({ topics: [paid] })
      await t.untilLanded(coupon, await t.send(t.drafts(paid, 8)))
      await coupon.start({ topics: [paid, shipped] })
      const ids = [...(await t.send(t.drafts(paid, 16))), ...(await t.send(t.drafts(shipped, 16)))]
      await t.untilLanded(coupon, ids)
    },
  },
  {
    name: 'instances of one service that want different topics each get all of theirs',
    async run(t) {
      const [paid, shipped] = [t.topic('order.paid', 4), t.topic('order.shipped', 4)]
      const coupon = t.service()
      await coupon.start({ topics: [paid] })
      await coupon.start({ topics: [shipped] })
      const ids = [...(await t.send(t.drafts(paid, 16))), ...(await t.send(t.drafts(shipped, 16)))]
      await t.untilLanded(coupon, ids)
    },
  },
  {
    name: 'an instance is brought only topics that it asked for, also where other instances of its service want more',
    async run(t) {
      const [paid, shipped] = [t.topic('order.paid', 4), t.topic('order.shipped', 4)]
      const coupon = t.service()
      const brought = new Set<string>()
      await coupon.start({ topics: [paid] }, (batch, record) => {
        for (const { topic } of batch.messages) brought.add(topic)
        record()
      })
      await coupon.start({ topics: [paid, shipped] })
      const ids: string[] = []
      for (let round = 0; round < 5; round++)
        ids.push(...(await t.send(t.drafts(paid, 16))), ...(await t.send(t.drafts(shipped, 16))))
      await t.untilLanded(coupon, ids)
      assert.ok(!brought.has(shipped.name))
    },
  },
]

/** The carrier's clock may count in whole milliseconds: a moment that is later than everything before. */
async function nextMoment(t: TransportBench): Promise<Date> {
  const { clock } = t.subject.ports
  const now = clock.now()
  while (clock.now() < now + 2) await turn()
  return new Date(now + 1)
}
