import { expect, test } from 'vitest'
import { Group } from './group.ts'
import type { StoredMessage } from './protocol.ts'

const leaseMs = 100

function logOf(...topics: string[]): StoredMessage[] {
  return topics.map((topic, offset) => ({ id: `id-${offset}`, offset, topic, body: {}, storedAtMs: 0 }))
}

const take = (group: Group, log: readonly StoredMessage[], nowMs: number, max = 10): string[] =>
  group.take(log, max, nowMs, leaseMs).map(({ deliveryId }) => deliveryId)

test('a group gets the messages of its topics, oldest first and no more than asked for', () => {
  const group = new Group(['paid'])
  const log = logOf('paid', 'other', 'paid', 'paid')
  expect(take(group, log, 0, 2)).toEqual(['0:1', '2:1'])
  expect(take(group, log, 0, 2)).toEqual(['3:1'])
  expect(take(group, log, 0, 2)).toEqual([])
})

test('what is not acknowledged in time is delivered again, before anything newer', () => {
  const group = new Group(['paid'])
  const log = logOf('paid', 'paid', 'paid')
  expect(take(group, log, 0, 2)).toEqual(['0:1', '1:1'])
  group.acknowledge(0)
  expect(take(group, log, leaseMs - 1, 1)).toEqual(['2:1'])
  expect(group.nextExpiryMs()).toBe(leaseMs)
  expect(take(group, log, leaseMs)).toEqual(['1:2'])
})

test('what is acknowledged is never delivered again, also when the lease had run out', () => {
  const group = new Group(['paid'])
  const log = logOf('paid')
  take(group, log, 0)
  expect(group.health(log, leaseMs)).toEqual({ ready: 1, leased: 0, acknowledged: 0 })
  group.acknowledge(0)
  expect(take(group, log, leaseMs)).toEqual([])
  expect(group.health(log, leaseMs)).toEqual({ ready: 0, leased: 0, acknowledged: 1 })
})

test('after a restart only what had been acknowledged is skipped', () => {
  const log = logOf('paid', 'paid', 'paid')
  const restarted = new Group(['paid'])
  restarted.acknowledge(1)
  expect(restarted.pending(log).map(({ offset }) => offset)).toEqual([0, 2])
  expect(take(restarted, log, 0)).toEqual(['0:1', '2:1'])
})

test('a topic that is new to the group is read from its beginning', () => {
  const group = new Group(['paid'])
  const log = logOf('shipped', 'paid')
  expect(take(group, log, 0)).toEqual(['1:1'])
  group.subscribe(['paid', 'shipped'])
  expect(take(group, log, 0)).toEqual(['0:1'])
})
