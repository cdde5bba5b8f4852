import assert from 'node:assert/strict'
import type { IncomingBatch } from '../../core/transport.ts'
import { turn } from '../played-service.ts'
import { type TransportPromise, idsOf, needs } from '../transport-bench.ts'

/** P1, P2: the source is acknowledged only after the batch has landed. */
export const landing: readonly TransportPromise[] = [
  {
    name: 'P2: a batch whose landing fails comes again, as often as it takes',
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      let failures = 0
      await coupon.start({ topics: [topic] }, (batch, record) => {
        if (batch.messages.length > 0 && failures++ < 3) throw new Error('the disk is full')
        record()
      })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 5)))
      assert.ok(failures > 3)
    },
  },
  {
    name: 'P2: a landing that fails late, after others have landed, loses neither',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      let landings = 0
      await coupon.start({ topics: [topic] }, (batch, record) => {
        if (batch.messages.length > 0 && ++landings % 2 === 0) throw new Error('every second one fails')
        record()
      })
      const ids: string[] = []
      for (let round = 0; round < 3; round++) {
        ids.push(...(await t.send(t.drafts(topic, 10, (n) => ({ shardingKey: `user-${n}` })))))
        await t.untilLanded(coupon, ids)
      }
    },
  },
  {
    name: 'P1: what landed in a process that is gone before it acknowledged comes again',
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      const gone = await coupon.start({ topics: [topic] }, (batch, record): Promise<void> | void => {
        record()
        if (batch.messages.length > 0) return gone.never
      })
      const ids = await t.send(t.drafts(topic, 3))
      await t.until('something has landed', () => coupon.log.length > 0)
      const landed = new Set(coupon.log)
      await gone.vanish()
      const before = coupon.landed.length
      await coupon.start({ topics: [topic] })
      await t.until('what was not acknowledged comes again', () => {
        const again = new Set(coupon.landed.slice(before).map(({ id }) => id as string))
        return ids.every((id) => again.has(id) || !landed.has(id)) && coupon.missing(ids).length === 0
      })
    },
  },
  {
    name: 'P1: what was received and had not landed when its process was gone comes again',
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const gone = await coupon.start({ topics: [topic] }, (batch, record): Promise<void> | void => {
        if (batch.messages.length > 0) return gone.never
        record()
      })
      const ids = await t.send(t.drafts(topic, 6))
      await t.until('a batch is being landed', () => gone.landing > 0)
      await gone.vanish()
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, ids)
    },
  },
  {
    name: 'what was acknowledged is not all brought again after a clean stop',
    missing: needs('durable'),
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      const first = await coupon.start({ topics: [topic] })
      const ids = await t.send(t.drafts(topic, 20))
      await t.untilLanded(coupon, ids)
      await first.leave()
      const before = coupon.landed.length
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, await t.send([t.draft(topic)]))
      const again = coupon.landed.slice(before).filter(({ id }) => ids.includes(id))
      assert.ok(again.length < ids.length, `${again.length} of ${ids.length} came again`)
    },
  },
  {
    name: 'batches of one source queue do not overlap in time',
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const busy = new Set<string>()
      const overlaps: string[] = []
      await coupon.start({ topics: [topic] }, async (batch, record) => {
        const queues = queuesIn(batch)
        for (const queue of queues) {
          if (busy.has(queue)) overlaps.push(queue)
          busy.add(queue)
        }
        for (let turns = 0; turns < 3; turns++) await turn()
        record()
        for (const queue of queues) busy.delete(queue)
      })
      const ids: string[] = []
      for (let round = 0; round < 10; round++) ids.push(...(await t.send(t.drafts(topic, 120))))
      await t.untilLanded(coupon, ids)
      assert.deepEqual(overlaps, [])
    },
  },
  {
    name: 'P1: every message says where it comes from: a source, and a whole queue and position',
    async run(t) {
      const topic = t.topic('order.paid', 3)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 20)))
      for (const { from } of coupon.landed) {
        assert.equal(typeof from.source, 'string')
        assert.notEqual(from.source, '')
        assert.ok(Number.isSafeInteger(from.queue) && Number.isSafeInteger(from.position))
      }
    },
  },
  {
    name: 'P13: a batch says up to which position of each source queue it settles, and that covers its messages',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 3)
      const coupon = t.service()
      const batches: IncomingBatch[] = []
      await coupon.start({ topics: [topic] }, (batch, record) => {
        batches.push(batch)
        record()
      })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 50)))
      for (const { messages, upTo } of batches) {
        for (const { from, topic: name } of messages) {
          const settled = upTo.find(
            (at) => at.topic === name && at.source === from.source && at.queue === from.queue,
          )
          assert.ok(settled, `${name}/${from.queue} of ${from.source} is settled`)
          assert.ok(settled.position >= from.position)
        }
      }
    },
  },
  {
    name: 'P13: the messages of one source queue come in the order of their positions, and each has its own',
    missing: needs('keepsOrder'),
    async run(t) {
      const topic = t.topic('order.paid', 3)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const ids: string[] = []
      for (let round = 0; round < 5; round++) ids.push(...(await t.send(t.drafts(topic, 40))))
      await t.untilLanded(coupon, ids)
      const last = new Map<string, number>()
      for (const { from } of coupon.landed) {
        const queue = `${from.source}/${from.queue}`
        assert.ok(from.position > (last.get(queue) ?? -Infinity), `${queue} goes on`)
        last.set(queue, from.position)
      }
    },
  },
  {
    name: 'a message that comes again comes from the same position: that is its identity in the source',
    missing: needs('rewinds'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      let failures = 0
      const seen = new Map<string, Set<string>>()
      await coupon.start({ topics: [topic] }, (batch, record) => {
        for (const { id, from } of batch.messages)
          seen.set(id, (seen.get(id) ?? new Set()).add(JSON.stringify(from)))
        if (batch.messages.length > 0 && failures++ < 4) throw new Error('not yet')
        record()
      })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 10)))
      assert.deepEqual(
        [...seen.values()].map((places) => places.size),
        Array.from({ length: 10 }, () => 1),
      )
    },
  },
  {
    name: 'receive ends promptly when its signal aborts while nothing is there to receive',
    async run(t) {
      const instance = await t.service().start({ topics: [t.topic('order.paid', 4)] })
      await instance.stop()
    },
  },
  {
    name: 'receive ends at once where its signal was aborted before',
    async run(t) {
      const coupon = t.service()
      const instance = await coupon.connect({ topics: [t.topic()], from: 'oldest' })
      const aborted = AbortSignal.abort()
      const landed: IncomingBatch[] = []
      await t.within(
        'receive ends',
        instance.transport.receive(async (batch) => void landed.push(batch), aborted),
      )
      assert.deepEqual(
        landed.flatMap(({ messages }) => idsOf(messages)),
        [],
      )
    },
  },
  {
    name: 'a batch that is being landed when the signal aborts may finish, and nothing is landed after receive has ended',
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      let finish = (): void => {}
      const held = new Promise<void>((resolve) => (finish = resolve))
      let ended = false
      let late = 0
      const instance = await coupon.start({ topics: [topic] }, async (batch, record) => {
        if (ended) late++
        if (batch.messages.length > 0) await held
        record()
      })
      const ids = await t.send(t.drafts(topic, 4))
      await t.until('a batch is being landed', () => instance.landing > 0)
      let stillLanding = 0
      const stopped = instance.stop().then(() => {
        ended = true
        stillLanding = instance.landing
      })
      for (let turns = 0; turns < 5; turns++) await turn()
      finish()
      await stopped
      assert.equal(stillLanding, 0, 'batches that were still being landed when receive had ended')
      const before = coupon.log.length
      await t.send(t.drafts(topic, 4))
      await turn()
      assert.equal(late, 0)
      assert.equal(coupon.log.length, before)
      await instance.leave()
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, ids)
    },
  },
  {
    name: 'receive may be called again on the same connection after it has ended',
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      const instance = await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, await t.send(t.drafts(topic, 3)))
      await instance.stop()
      const meanwhile = await t.send(t.drafts(topic, 3))
      instance.receive()
      await t.untilLanded(coupon, [...meanwhile, ...(await t.send(t.drafts(topic, 3)))])
    },
  },
]

function queuesIn(batch: IncomingBatch): string[] {
  return [...new Set(batch.messages.map(({ topic, from }) => `${from.source} ${topic}/${from.queue}`))]
}
