import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ReadRequest, StartPosition, SubscribeAnswer } from './protocol.ts'
import { BrokerStore } from './store.ts'

const never = new AbortController().signal
let folder = ''
let nowMs = 0
let store: BrokerStore

const open = (): Promise<BrokerStore> => BrokerStore.open({ folder, leaseMs: 100, now: () => nowMs })

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'waybill-shop-broker-'))
  nowMs = Date.UTC(2026, 0, 1)
  store = await open()
})
afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true })
})

async function reopen(): Promise<void> {
  await store.close()
  store = await open()
}

function publish(...bodies: readonly string[]): Promise<string[]> {
  return store.publish(bodies.map((body) => ({ topic: 'paid', body })))
}

function subscribe(from?: StartPosition, owner = 'coupon.db', reader = 'coupon'): Promise<SubscribeAnswer> {
  return store.readers.subscribe({ reader, owner, topics: [{ name: 'paid', groups: ['mail'], from }] })
}

async function sourceOf(reader = 'coupon'): Promise<string> {
  const request = {
    reader,
    topic: 'paid',
    instance: 'one',
    leaseMs: 100,
    source: '?',
    settledUpTo: undefined,
  }
  return (await store.readers.read(request, never)).source
}

async function read(request: Partial<ReadRequest> = {}, gone = never): Promise<string[]> {
  const source = request.source ?? (await sourceOf(request.reader))
  const full = {
    reader: 'coupon',
    topic: 'paid',
    instance: 'one',
    leaseMs: 100,
    source,
    settledUpTo: undefined,
  }
  const { messages } = await store.readers.read({ ...full, ...request }, gone)
  return messages.map(({ position, body }) => `${position}:${body}`)
}

test('a reader gets what it has not settled, in order, until it settles it', async () => {
  await subscribe()
  await publish('a', 'b', 'c')
  expect(await read()).toEqual(['1:a', '2:b', '3:c'])
  expect(await read({ settledUpTo: 2 })).toEqual(['1:a', '2:b', '3:c'])
  await store.readers.settle('coupon', 'paid', 2)
  expect(await read({ settledUpTo: 2 })).toEqual(['3:c'])
})

test("the older of the broker's and the reader's positions counts; none of its own is where it began", async () => {
  await publish('before')
  await subscribe('now')
  await publish('a', 'b', 'c')
  await store.readers.settle('coupon', 'paid', 4)
  expect(await read({ settledUpTo: 3 })).toEqual(['4:c'])
  expect(await read({ settledUpTo: undefined })).toEqual(['2:a', '3:b', '4:c'])
  await publish('d')
  expect(await read({ settledUpTo: 1_000_000 })).toEqual(['5:d'])
})

test.each<[StartPosition, string[]]>([
  ['oldest', ['1:old', '2:new', '3:later']],
  ['now', ['3:later']],
  ['2026-01-01T00:00:00.500Z', ['2:new', '3:later']],
  ['2030-01-01T00:00:00.000Z', ['3:later']],
])('a reader that starts from %s', async (from, expected) => {
  await publish('old')
  nowMs += 1_000
  await publish('new')
  expect(await subscribe(from)).toEqual({})
  await publish('later')
  expect(await read()).toEqual(expected)
})

test('a reader that is new to a topic with messages must say where it starts; one that is known need not', async () => {
  await publish('a', 'b')
  expect(await subscribe()).toEqual({ older: 2, topic: 'paid', groups: ['mail'] })
  expect(await subscribe('oldest')).toEqual({})
  expect(await subscribe()).toEqual({})
})

test('a group belongs to the first owner who says so, also after a restart', async () => {
  await subscribe()
  expect(await subscribe('oldest', 'other.db', 'impostor')).toEqual({ taken: 'mail' })
  await reopen()
  expect(await subscribe('oldest', 'other.db', 'impostor')).toEqual({ taken: 'mail' })
  expect(await subscribe()).toEqual({})
})

test('one instance reads at a time, until its lease lapses or it releases it', async () => {
  await subscribe()
  await publish('a')
  expect(await read({ instance: 'one' })).toEqual(['1:a'])
  expect(await read({ instance: 'two' }, AbortSignal.abort())).toEqual([])
  store.readers.release('one')
  expect(await read({ instance: 'two' })).toEqual(['1:a'])
  expect(await read({ instance: 'one' }, AbortSignal.abort())).toEqual([])
  nowMs += 100
  expect(await read({ instance: 'one' })).toEqual(['1:a'])
})

test('one that waited for its turn, or named another log, is to ask its own books first', async () => {
  await subscribe()
  await publish('a')
  await read({ instance: 'one' })
  const source = await sourceOf()
  const waiting = read({ instance: 'two', source })
  await sourceOf()
  store.readers.release('one')
  expect(await waiting).toEqual([])
  expect(await read({ instance: 'two', source: 'another log' })).toEqual([])
})

test('a reader that waits gets a message as soon as it is stored', async () => {
  await subscribe()
  const waiting = read({ leaseMs: 60_000 })
  await publish('a')
  expect(await waiting).toEqual(['1:a'])
})

test('the log keeps its name and its positions over a restart', async () => {
  await subscribe()
  await publish('a', 'b')
  await store.readers.settle('coupon', 'paid', 1)
  const source = await sourceOf()
  await reopen()
  expect(await sourceOf()).toBe(source)
  expect(await read({ settledUpTo: 1 })).toEqual(['2:b'])
})

test('a log that lost its files has another name, and is read from its beginning', async () => {
  await subscribe()
  await publish('a')
  await store.readers.settle('coupon', 'paid', 1)
  const source = await sourceOf()
  await store.close()
  rmSync(folder, { recursive: true })
  folder = mkdtempSync(join(tmpdir(), 'waybill-shop-broker-'))
  store = await open()
  await publish('b')
  expect(await sourceOf()).not.toBe(source)
  expect(await read()).toEqual(['1:b'])
})
