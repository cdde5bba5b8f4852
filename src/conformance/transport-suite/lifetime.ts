import assert from 'node:assert/strict'
import { turn } from '../played-service.ts'
import { type TransportBench, type TransportPromise, needs } from '../transport-bench.ts'

/** Closing, opening again, and reading again what a database that was restored has forgotten (P13). */
export const lifetime: readonly TransportPromise[] = [
  {
    name: 'close leaves no timer, socket or handle behind: the process can end',
    async run(t) {
      const before = handles()
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const instance = await coupon.start({ topics: [topic] })
      const sender = await t.open(t.name('order'))
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 5), sender))
      await instance.leave()
      await t.close(sender)
      await untilClosed(t, before)
      assert.equal(t.subject.pendingTimers?.() ?? 0, 0, 'timers of the clock port that wait')
    },
  },
  {
    name: 'close of a connection that never received, or never did anything, is clean too',
    async run(t) {
      const sender = await t.open(t.name('order'))
      await t.within('a connection closes', t.close(sender))
      const coupon = await t.service().connect({ topics: [t.topic()], from: 'oldest' })
      await coupon.leave()
      assert.equal(t.subject.pendingTimers?.() ?? 0, 0, 'timers of the clock port that wait')
    },
  },
  {
    name: 'what was answered as sent is there after everybody has closed, and after a crash of the carrier',
    missing: needs('durable'),
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      const first = await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 10)))
      await first.leave()
      const sender = await t.open(t.name('order'))
      const messages = t.drafts(topic, 300, (n) => ({ body: new TextEncoder().encode(`${n} 🧧`) }))
      const ids = await t.send(messages, sender)
      await t.close(sender)
      await t.subject.crashCarrier?.()
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, ids)
      for (const { id, body } of messages) {
        const copy = coupon.landed.find((landed) => landed.id === id)
        assert.ok(Buffer.from(body as Uint8Array).equals(copy?.body as Uint8Array))
      }
    },
  },
  {
    name: 'P13: a database restored from an older copy gets again what it has forgotten',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const first = await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 10)))
      await first.stop()
      const copy = coupon.copy()
      first.receive()
      const forgotten = await t.send(t.drafts(topic, 10))
      await t.untilLanded(coupon, forgotten)
      await first.leave()
      coupon.restore(copy)
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, [...forgotten, ...(await t.send(t.drafts(topic, 3)))])
    },
  },
  {
    name: 'P13: a database that is put back under an instance that goes on receiving gets again what it has forgotten',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 10)))
      const copy = coupon.copy()
      const forgotten = await t.send(t.drafts(topic, 10))
      await t.untilLanded(coupon, forgotten)
      coupon.restore(copy)
      await t.untilLanded(coupon, [...forgotten, ...(await t.send(t.drafts(topic, 10)))])
    },
  },
  {
    name: 'P13: a database restored from a copy from before its first landing gets everything again',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const empty = coupon.copy()
      const first = await coupon.start({ topics: [topic], from: 'oldest' })
      const forgotten = await t.send(t.drafts(topic, 10))
      await t.untilLanded(coupon, forgotten)
      await first.leave()
      coupon.restore(empty)
      await coupon.start({ topics: [topic], from: 'oldest' })
      await t.untilLanded(coupon, [...forgotten, ...(await t.send(t.drafts(topic, 3)))])
    },
  },
  {
    name: 'P13: an instance that takes over a queue starts from what has landed, also where its predecessor acknowledged more',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const first = await coupon.start({ topics: [topic] })
      const ids = await t.send(t.drafts(topic, 10))
      await t.untilLanded(coupon, ids)
      const copy = coupon.copy()
      const forgotten = await t.send(t.drafts(topic, 10))
      await t.untilLanded(coupon, forgotten)
      coupon.restore(copy)
      await coupon.start({ topics: [topic] })
      await first.leave()
      await t.untilLanded(coupon, forgotten)
    },
  },
  {
    name: 'P13: positions that are ahead of the carrier, as after a restore of the carrier, make nobody skip anything',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const first = await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 10)))
      await first.leave()
      coupon.pretendLandedUpTo(1_000_000)
      const waiting = await t.send(t.drafts(topic, 5))
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, [...waiting, ...(await t.send(t.drafts(topic, 5)))])
    },
  },
  {
    name: 'P13: a database that cannot say for a while what has landed loses nothing',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const instance = await coupon.connect({ topics: [topic], from: 'oldest' })
      let failures = 3
      await instance.transport.subscribe({
        databaseId: coupon.databaseId,
        topics: [{ ...topic, from: 'oldest', groups: [`${coupon.name}.group`] }],
        landedUpTo: async (source, name, queue) => {
          if (failures-- > 0) throw new Error('the database is away')
          return coupon.landedUpTo(source, name, queue)
        },
      })
      instance.receive()
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 10)))
    },
  },
]

/** What keeps this process alive, by kind. */
function handles(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
}

/** Some handles need a few turns to be gone. */
async function untilClosed(t: TransportBench, before: ReadonlyMap<string, number>): Promise<void> {
  const deadline = performance.now() + t.patienceMs
  while ([...handles()].some(([kind, count]) => count > (before.get(kind) ?? 0))) {
    if (performance.now() > deadline)
      assert.fail(`open are ${[...handles()].join(' ')}; before it was ${[...before].join(' ')}`)
    await turn()
  }
}
