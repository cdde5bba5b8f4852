import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BrokerStore } from './store.ts'

const never = new AbortController().signal
let folder = ''
let nowMs = 0

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waybill-shop-broker-'))
  nowMs = 0
})
afterEach(() => rmSync(folder, { recursive: true }))

const open = (): Promise<BrokerStore> => BrokerStore.open({ folder, leaseMs: 100, now: () => nowMs })
const receive = async (store: BrokerStore, group: string): Promise<string[]> => {
  const deliveries = await store.receive({ group, topics: ['paid'], max: 100, waitMs: 0 }, never)
  return deliveries.map(({ message }) => String(message.body))
}

test('messages and acknowledgements survive a restart, leases do not', async () => {
  const before = await open()
  await before.publish(['a', 'b', 'c'].map((body) => ({ topic: 'paid', body })))
  expect(await receive(before, 'coupon')).toEqual(['a', 'b', 'c'])
  await before.acknowledge('coupon', [1])
  await before.close()

  const after = await open()
  expect(await receive(after, 'coupon')).toEqual(['a', 'c'])
  expect(await receive(after, 'warehouse')).toEqual(['a', 'b', 'c'])
  await after.close()
})

test('publishes that overlap are stored densely, in one order for everybody', async () => {
  const store = await open()
  const bodies = Array.from({ length: 100 }, (_, index) => String(index))
  await Promise.all(bodies.map((body) => store.publish([{ topic: 'paid', body }])))
  expect(await receive(store, 'coupon')).toEqual(bodies)
  expect(await receive(store, 'warehouse')).toEqual(bodies)
  await store.close()
})

test('a publish that is repeated is stored twice: this broker does not deduplicate', async () => {
  const store = await open()
  await store.publish([{ topic: 'paid', key: 'order-1', body: 'a' }])
  await store.publish([{ topic: 'paid', key: 'order-1', body: 'a' }])
  expect(await receive(store, 'coupon')).toEqual(['a', 'a'])
  await store.close()
})

test('a line that was cut short by a crash was never acknowledged, and is cut off', async () => {
  const before = await open()
  await before.publish([{ topic: 'paid', body: 'a' }])
  await before.close()
  appendFileSync(join(folder, 'broker-messages.jsonl'), '{"topic":"paid","bo')

  const after = await open()
  await after.publish([{ topic: 'paid', body: 'b' }])
  expect(await receive(after, 'coupon')).toEqual(['a', 'b'])
  await after.close()
  expect(readFileSync(join(folder, 'broker-messages.jsonl'), 'utf8').trimEnd().split('\n')).toHaveLength(2)
})

test('a receiver that waits gets a message as soon as it is stored', async () => {
  const store = await open()
  const waiting = store.receive({ group: 'coupon', topics: ['paid'], max: 1, waitMs: 60_000 }, never)
  await store.publish([{ topic: 'paid', body: 'a' }])
  expect((await waiting).map(({ message }) => message.body)).toEqual(['a'])
  await store.close()
})

test('a receiver that hung up gets no lease, and the next one gets the message', async () => {
  const store = await open()
  const gone = new AbortController()
  const waiting = store.receive({ group: 'coupon', topics: ['paid'], max: 1, waitMs: 60_000 }, gone.signal)
  gone.abort()
  expect(await waiting).toEqual([])
  await store.publish([{ topic: 'paid', body: 'a' }])
  expect(await receive(store, 'coupon')).toEqual(['a'])
  await store.close()
})

test('acknowledging for an unknown group or a message that does not exist is refused', async () => {
  const store = await open()
  await expect(store.acknowledge('nobody', [0])).rejects.toMatchObject({ code: 'broker.group-unknown' })
  await receive(store, 'coupon')
  await expect(store.acknowledge('coupon', [0])).rejects.toMatchObject({ code: 'broker.delivery-unknown' })
  await store.close()
})
