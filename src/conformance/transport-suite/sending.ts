import assert from 'node:assert/strict'
import type { PlayedService } from '../played-service.ts'
import { type Draft, type TransportPromise, idsOf, needsFault } from '../transport-bench.ts'
import type { OutgoingMessage } from '../transport-subject.ts'

const mebibyte = 1024 * 1024

/** What must come out as it went in: every field, at its limits. */
const drafts: readonly { readonly name: string; readonly draft: Draft }[] = [
  { name: 'a message with nothing but a body', draft: { body: '{}' } },
  {
    name: 'every field',
    draft: {
      service: 'order.eu_1-a',
      key: 'order-42',
      shardingKey: 'user-7',
      tag: 'gold',
      headers: { 'trace-id': 'a1', empty: '' },
      body: '{"paid":true}',
    },
  },
  {
    name: 'text that is not ASCII: 红包 🧧, accents, quotes, line breaks, separators of other formats',
    draft: {
      key: '订单-🧧',
      shardingKey: 'ünïcode "quoted" \\ \n\t %00 $1',
      tag: '红包',
      headers: { 头: '值 🧧\r\nx-injected: 1\u0001\u0002', 'a=b;c': 'd,e' },
      body: JSON.stringify({ text: '红包 🧧 \u2028 \u0000 \ud83d "\\' }),
    },
  },
  {
    name: 'the longest key, sharding key and tag',
    draft: { key: '订'.repeat(85), shardingKey: 's'.repeat(255), tag: 't'.repeat(255) },
  },
  {
    name: '64 headers of 1 KiB',
    draft: {
      headers: Object.fromEntries(
        Array.from({ length: 64 }, (_, n) => [`h${String(n).padStart(3, '0')}`, 'v'.repeat(1_020)]),
      ),
    },
  },
  { name: 'a body that is a JSON string, number or null', draft: { body: 'null' } },
  {
    name: 'JSON text exactly as it was written',
    draft: { body: '{"b":1.0,  "a":1e3,"n":12345678901234567890}' },
  },
  { name: 'all 256 bytes', draft: { body: Uint8Array.from({ length: 256 }, (_, n) => n) } },
  { name: 'no bytes at all', draft: { body: new Uint8Array(0) } },
  { name: 'bytes that look like JSON', draft: { body: new TextEncoder().encode('{"a":1}') } },
  {
    name: 'bytes that are a part of a larger buffer',
    draft: { body: Uint8Array.from({ length: 64 }, (_, n) => n).subarray(16, 32) },
  },
  {
    name: 'times that are not now, and differ from each other',
    draft: { publishedAt: Date.UTC(2020, 1, 29, 23, 59, 59, 999), eligibleAt: Date.UTC(2020, 2, 1) },
  },
]

/** P1, P2: send says of each message what became of it, and what it calls sent arrives as it was. */
export const sending: readonly TransportPromise[] = [
  {
    name: 'the transport has a name and declares the capabilities that are claimed for it',
    async run(t) {
      assert.notEqual(t.subject.transport.name, '')
      assert.deepEqual({ ...t.subject.transport.can }, { ...t.claims.can })
    },
  },
  {
    name: 'send answers one outcome per message, and a proof for each that was sent',
    async run(t) {
      const outcomes = await t.trySend(t.drafts(t.topic(), 7))
      assert.equal(outcomes.length, 7)
      for (const outcome of outcomes) {
        assert.ok(outcome.outcome === 'sent')
        assert.equal(typeof outcome.proof, 'string')
        assert.notEqual(outcome.proof, '')
      }
    },
  },
  {
    name: 'sending nothing answers nothing',
    async run(t) {
      assert.deepEqual(await t.trySend([]), [])
    },
  },
  ...drafts.map(({ name, draft }): TransportPromise => ({
    name: `every field survives: ${name}`,
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const message = t.draft(topic, draft)
      await t.untilLanded(coupon, await t.send([message]))
      assertSame(coupon, message)
    },
  })),
  {
    name: 'every field survives in one batch of all kinds of messages',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const messages = drafts.map(({ draft }) => t.draft(topic, draft))
      await t.untilLanded(coupon, await t.send(messages))
      for (const message of messages) assertSame(coupon, message)
    },
  },
  {
    name: 'bodies of the largest size arrive, text and bytes',
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const bytesMax = t.claims.bodyBytesMax ?? mebibyte
      const messages = [
        t.draft(topic, { body: `"${'x'.repeat(bytesMax - 2)}"` }),
        t.draft(topic, { body: `"${'🧧'.repeat(Math.floor((bytesMax - 2) / 4))}"` }),
        t.draft(topic, { body: Uint8Array.from({ length: bytesMax }, (_, n) => (n * 31) & 0xff) }),
      ]
      for (const message of messages) await t.send([message])
      await t.untilLanded(coupon, idsOf(messages))
      for (const message of messages) assertSame(coupon, message)
    },
  },
  {
    name: 'a batch of 1,500 messages is answered and arrives whole',
    async run(t) {
      const topic = t.topic('order.paid', 4)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const messages = t.drafts(topic, 1_500, (n) => ({ shardingKey: `user-${n % 50}`, key: `order-${n}` }))
      await t.untilLanded(coupon, await t.send(messages))
      assert.equal(coupon.log.length, 1_500)
    },
  },
  {
    name: 'one batch may hold several topics, and a service gets only those that it asked for',
    async run(t) {
      const [paid, shipped, other] = [
        t.topic('order.paid', 2),
        t.topic('order.shipped'),
        t.topic('order.other'),
      ]
      const coupon = t.service()
      const logistics = t.service('logistics')
      await coupon.start({ topics: [paid] })
      await logistics.start({ topics: [shipped, paid] })
      const messages = [paid, other, shipped, paid, other].map((topic) => t.draft(topic))
      const [first, , third, fourth] = await t.send(messages)
      await t.untilLanded(coupon, [first!, fourth!])
      await t.untilLanded(logistics, [first!, third!, fourth!])
      assert.equal(coupon.log.length, 2)
      assert.equal(logistics.log.length, 3)
    },
  },
  {
    name: 'several services send at the same time',
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const senders = await Promise.all(['order', 'shop', 'pos'].map((name) => t.open(t.name(name))))
      const sent = await Promise.all(
        senders.flatMap((sender) => Array.from({ length: 4 }, () => t.send(t.drafts(topic, 20), sender))),
      )
      await t.untilLanded(coupon, sent.flat())
    },
  },
  {
    name: 'sending again what was sent is safe: it is answered as sent, and still arrives as it was',
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const messages = t.drafts(topic, 5, (n) => ({ key: `order-${n}` }))
      await t.send(messages)
      await t.untilLanded(coupon, idsOf(messages))
      await t.send(messages)
      await t.send([...messages.slice(3), t.draft(topic), ...messages.slice(0, 2)])
      const marker = t.draft(topic)
      await t.untilLanded(coupon, await t.send([marker]))
      assert.equal(coupon.missing(idsOf(messages)).length, 0)
      for (const message of messages) assertSame(coupon, message)
    },
  },
  {
    name: 'sending again through another connection, as after a crash of the relay, is safe',
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const messages = t.drafts(topic, 5)
      await t.send(messages, await t.open(t.name('order')))
      await t.send(messages, await t.open(t.name('order')))
      await t.untilLanded(coupon, idsOf(messages))
      for (const message of messages) assertSame(coupon, message)
    },
  },
  {
    name: 'one message twice in a batch is answered twice and arrives',
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const message = t.draft(topic)
      await t.send([message, t.draft(topic), message])
      await t.untilLanded(coupon, [message.id])
    },
  },
  {
    name: 'a message that the carrier refuses is answered as refused, with the reason; the others of its batch are sent',
    missing: needsFault('refusable'),
    async run(t) {
      const topic = t.topic()
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const good = t.drafts(topic, 2)
      const bad = await t.fault('refusable')(t.draft(topic, { key: 'refused' }))
      const outcomes = await t.trySend([good[0]!, bad, good[1]!])
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        ['sent', 'refused', 'sent'],
      )
      assertSaysWhy(outcomes[1])
      await t.untilLanded(coupon, idsOf(good))
    },
  },
  {
    name: 'what does not reach the carrier is unknown, never sent and never refused; sent again later, it arrives',
    missing: needsFault('cutOff'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const messages = t.drafts(topic, 5)
      await t.sender()
      const repair = t.fault('cutOff')()
      const outcomes = await t.trySend(messages)
      assert.equal(outcomes.length, messages.length)
      for (const outcome of outcomes) {
        assert.equal(outcome.outcome, 'unknown')
        assertSaysWhy(outcome)
      }
      repair()
      await t.untilLanded(coupon, await t.send(messages))
    },
  },
  {
    name: 'an answer that got lost is unknown, not sent; the same messages sent again arrive as they were',
    missing: needsFault('swallowAnswer'),
    async run(t) {
      const topic = t.topic('order.paid', 2)
      const coupon = t.service()
      await coupon.start({ topics: [topic] })
      const messages = t.drafts(topic, 5)
      await t.sender()
      t.fault('swallowAnswer')()
      const outcomes = await t.trySend(messages)
      assert.equal(outcomes.length, messages.length)
      assert.ok(outcomes.some(({ outcome }) => outcome === 'unknown'))
      assert.ok(outcomes.every(({ outcome }) => outcome !== 'refused'))
      await t.untilLanded(coupon, await t.send(messages))
      for (const message of messages) assertSame(coupon, message)
    },
  },
]

function assertSame(service: PlayedService, sent: OutgoingMessage): void {
  const copies = service.landed.filter(({ id }) => id === sent.id)
  assert.ok(copies.length > 0, 'it arrived')
  const { from: _, body, ...fields } = sent
  for (const copy of copies) {
    assert.equal(typeof copy.body === 'string', typeof body === 'string', 'text stays text, bytes stay bytes')
    if (typeof body === 'string') assert.ok(copy.body === body, 'the same text')
    else assert.ok(Buffer.from(body).equals(copy.body as Uint8Array), 'the same bytes')
    const arrived = Object.fromEntries(
      Object.keys(fields).map((name) => [name, copy[name as keyof typeof fields]]),
    )
    assert.deepEqual({ ...arrived, headers: { ...copy.headers } }, fields)
  }
}

function assertSaysWhy(outcome: object | undefined): void {
  assert.ok(outcome && 'because' in outcome)
  assert.equal(typeof outcome.because, 'string')
  assert.notEqual(outcome.because, '')
}
