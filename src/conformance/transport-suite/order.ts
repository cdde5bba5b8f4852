import assert from 'node:assert/strict'
import type { PlayedService } from '../played-service.ts'
import {
  type TransportBench,
  type TransportPromise,
  idsOf,
  needs,
  needsAll,
  needsFault,
} from '../transport-bench.ts'
import type { OutgoingMessage } from '../transport-subject.ts'

/** P18: messages of one sharding key arrive in the order in which their sends were answered. */
export const order: readonly TransportPromise[] = [
  {
    name: 'P18: each sharding key keeps its order, in one batch and over many',
    missing: needs('keepsOrder'),
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const sent: OutgoingMessage[] = []
      for (const size of [1, 300, 7, 450, 42]) {
        const messages = t.drafts(topic, size, (n) => ({ shardingKey: `user-${n % 13}` }))
        await t.send(messages)
        sent.push(...messages)
      }
      await t.untilLanded(coupon, idsOf(sent))
      assertKeysInOrder(coupon, sent)
    },
  },
  {
    name: 'P18: order holds from before the subscription and across restarts of the service',
    missing: needsAll(needs('keepsOrder'), needs('durable'), needs('rewinds')),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      const sent: OutgoingMessage[] = []
      const send = async (): Promise<void> => {
        const messages = t.drafts(topic, 30, (n) => ({ shardingKey: `user-${n % 5}` }))
        await t.send(messages)
        sent.push(...messages)
      }
      for (let life = 0; life < 3; life++) {
        await send()
        const instance = await coupon.start({ topics: [topic] })
        await send()
        await t.until('something new has landed', () => coupon.log.length > life * 60)
        await instance.leave()
      }
      await coupon.start({ topics: [topic] })
      await t.untilLanded(coupon, idsOf(sent))
      assertKeysInOrder(coupon, sent)
    },
  },
  {
    name: 'P18: order holds through landings that fail',
    missing: needs('keepsOrder'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      let landings = 0
      await coupon.start({ topics: [topic] }, (batch, record) => {
        if (batch.messages.length > 0 && ++landings % 2 === 1) throw new Error('every second one fails')
        record()
      })
      const sent: OutgoingMessage[] = []
      for (let round = 0; round < 5; round++) {
        const messages = t.drafts(topic, 20, (n) => ({ shardingKey: `user-${n % 3}` }))
        await t.send(messages)
        sent.push(...messages)
      }
      await t.untilLanded(coupon, idsOf(sent))
      assertKeysInOrder(coupon, sent)
    },
  },
  {
    name: 'P18: order holds while instances come and go',
    missing: needs('keepsOrder'),
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      const sent: OutgoingMessage[] = []
      const send = async (): Promise<void> => {
        const messages = t.drafts(topic, 40, (n) => ({ shardingKey: `user-${n % 7}` }))
        await t.send(messages)
        sent.push(...messages)
      }
      const first = await coupon.start({ topics: [topic] })
      await send()
      const second = await coupon.start({ topics: [topic] })
      await send()
      await first.leave()
      await send()
      await coupon.start({ topics: [topic] })
      await second.leave()
      await send()
      await t.untilLanded(coupon, idsOf(sent))
      assertKeysInOrder(coupon, sent)
    },
  },
  {
    name: 'P19: order holds where publisher and consumer declare other numbers of queues',
    missing: needs('keepsOrder'),
    async run(t) {
      const topic = t.topic('order.paid', 5)
      const coupon = t.service()
      await t.send([t.draft(topic)])
      await coupon.start({ topics: [{ ...topic, queues: 2 }] })
      const warehouse = t.service('warehouse')
      await warehouse.start({ topics: [{ ...topic, queues: 9 }] })
      const sent = t.drafts(topic, 60, (n) => ({ shardingKey: `user-${n % 7}` }))
      await t.send(sent)
      for (const service of [coupon, warehouse]) {
        await t.untilLanded(service, idsOf(sent))
        assertKeysInOrder(service, sent)
      }
    },
  },
  {
    name: 'P20: sending again what had arrived does not put a message behind a later one of its key',
    missing: needsAll(needs('keepsOrder'), needs('ordersRetries')),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const sent = t.drafts(topic, 12, (n) => ({ shardingKey: `user-${n % 3}` }))
      await t.send(sent.slice(0, 8))
      await t.send(sent.slice(4, 8))
      await t.send(sent)
      await t.untilLanded(coupon, idsOf(sent))
      assertKeysInOrder(coupon, sent)
    },
  },
  {
    name: 'P20: order holds when an answer got lost and the batch is sent again, with more behind it',
    missing: needsAll(needs('keepsOrder'), needs('ordersRetries'), needsFault('swallowAnswer')),
    run: (t) => sendAgainAfter(t, () => t.fault('swallowAnswer')()),
  },
  {
    name: 'P20: order holds when a batch did not reach the carrier and is sent again, with more behind it',
    missing: needsAll(needs('keepsOrder'), needs('ordersRetries'), needsFault('cutOff')),
    run: (t) => sendAgainAfter(t, () => t.fault('cutOff')()),
  },
  {
    name: 'P20: order holds when a send breaks off in the middle and is sent again from there',
    missing: needsAll(needs('keepsOrder'), needs('ordersRetries'), needsFault('breakOff')),
    run: (t) => sendAgainAfter(t, () => t.fault('breakOff')()),
  },
]

/** As the relay does: what is not answered as sent is sent again, from the first such message on, before anything later. */
async function sendAgainAfter(t: TransportBench, breakIt: () => (() => void) | void): Promise<void> {
  const topic = t.topic('order.paid', 2)
  const coupon = t.service()
  await coupon.start({ topics: [topic] })
  const sent = t.drafts(topic, 450, (n) => ({ shardingKey: `user-${n % 5}` }))
  await t.send(sent.slice(0, 10))
  const repair = breakIt()
  const outcomes = await t.trySend(sent.slice(10, 440))
  repair?.()
  const stop = outcomes.findIndex(({ outcome }) => outcome !== 'sent')
  assert.notEqual(stop, -1)
  await t.send(sent.slice(10 + stop))
  await t.untilLanded(coupon, idsOf(sent))
  assertKeysInOrder(coupon, sent)
}

function assertKeysInOrder(service: PlayedService, sent: readonly OutgoingMessage[]): void {
  const keyOf = new Map<string, string | null>(sent.map(({ id, shardingKey }) => [id, shardingKey]))
  const byKey = (ids: readonly string[]): Record<string, string[]> => {
    const keys: Record<string, string[]> = {}
    for (const id of ids) {
      const key = keyOf.get(id)
      if (typeof key === 'string') (keys[key] ??= []).push(id)
    }
    return keys
  }
  const [landed, wanted] = [byKey(service.log), byKey(idsOf(sent))]
  for (const key of Object.keys(wanted)) assert.deepEqual(landed[key], wanted[key], `the order of ${key}`)
}
