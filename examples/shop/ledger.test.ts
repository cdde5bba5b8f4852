import { expect, test } from 'vitest'
import { balance, type History } from './ledger.ts'

/** A history of one group in which everything went well, unless the test says otherwise. */
function history(parts: {
  committed?: readonly string[]
  effects?: readonly string[]
  pending?: readonly string[]
  dead?: readonly string[]
}): History {
  return {
    groups: ['coupon'],
    committed: new Set(parts.committed ?? []),
    effects: (parts.effects ?? []).map((orderId) => ({ orderId, group: 'coupon' })),
    pending: new Map([['coupon', new Set(parts.pending ?? [])]]),
    dead: new Map([['coupon', new Set(parts.dead ?? [])]]),
  }
}

const nothing = { once: 0, lost: 0, duplicate: 0, phantom: 0, stuck: 0, dead: 0 }

test('a committed order with one effect is once', () => {
  const ledger = balance(history({ committed: ['a', 'b'], effects: ['b', 'a'] }))
  expect(ledger.total).toEqual({ ...nothing, once: 2 })
  expect(ledger.offenders).toEqual([])
})

test('a committed order without an effect, with nothing pending anywhere, is lost', () => {
  const ledger = balance(history({ committed: ['a', 'b'], effects: ['a'] }))
  expect(ledger.total).toEqual({ ...nothing, once: 1, lost: 1 })
  expect(ledger.offenders).toEqual([{ group: 'coupon', orderId: 'b', class: 'lost' }])
})

test('a committed order with two effects is one duplicate, and so is one with five', () => {
  const ledger = balance(history({ committed: ['a', 'b'], effects: ['a', 'b', 'a', 'b', 'b', 'b', 'b'] }))
  expect(ledger.total).toEqual({ ...nothing, duplicate: 2 })
})

test('effects of an order that was never committed are one phantom', () => {
  const ledger = balance(history({ committed: [], effects: ['ghost', 'ghost'] }))
  expect(ledger.total).toEqual({ ...nothing, phantom: 1 })
  expect(ledger.offenders).toEqual([{ group: 'coupon', orderId: 'ghost', class: 'phantom' }])
})

test('a committed order without an effect that is still pending is stuck, not lost', () => {
  expect(balance(history({ committed: ['a'], pending: ['a'] })).total).toEqual({ ...nothing, stuck: 1 })
})

test('what is pending although its effect is there is once: the acknowledgement is merely late', () => {
  expect(balance(history({ committed: ['a'], effects: ['a'], pending: ['a'] })).total).toEqual({
    ...nothing,
    once: 1,
  })
})

test('what is pending of an order that was never committed is nothing yet', () => {
  expect(balance(history({ pending: ['ghost'] })).total).toEqual(nothing)
})

test('a dead letter without an effect is dead, not stuck and not lost', () => {
  expect(balance(history({ committed: ['a'], pending: ['a'], dead: ['a'] })).total).toEqual({
    ...nothing,
    dead: 1,
  })
})

test('a dead letter whose effect happened all the same is not counted as once', () => {
  expect(balance(history({ committed: ['a'], effects: ['a'], dead: ['a'] })).total).toEqual({
    ...nothing,
    dead: 1,
  })
})

test('a dead letter of an order that was never committed is seen', () => {
  expect(balance(history({ dead: ['ghost'] })).total).toEqual({ ...nothing, dead: 1 })
})

test('a duplicate stays a duplicate whatever else happened to it', () => {
  const all = { committed: ['a'], effects: ['a', 'a'], pending: ['a'], dead: ['a'] }
  expect(balance(history(all)).total).toEqual({ ...nothing, duplicate: 1 })
})

test('each group keeps its own books, and the total is their sum', () => {
  const ledger = balance({
    groups: ['coupon', 'warehouse', 'logistics'],
    committed: new Set(['a', 'b']),
    effects: [
      { orderId: 'a', group: 'coupon' },
      { orderId: 'b', group: 'coupon' },
      { orderId: 'a', group: 'warehouse' },
      { orderId: 'a', group: 'warehouse' },
      { orderId: 'ghost', group: 'warehouse' },
    ],
    pending: new Map([['logistics', new Set(['b'])]]),
    dead: new Map(),
  })
  expect(ledger.perGroup.get('coupon')).toEqual({ ...nothing, once: 2 })
  expect(ledger.perGroup.get('warehouse')).toEqual({ ...nothing, duplicate: 1, lost: 1, phantom: 1 })
  expect(ledger.perGroup.get('logistics')).toEqual({ ...nothing, stuck: 1, lost: 1 })
  expect(ledger.total).toEqual({ once: 2, lost: 2, duplicate: 1, phantom: 1, stuck: 1, dead: 0 })
})

test('every committed order is in exactly one class of every group', () => {
  const { total } = balance(
    history({
      committed: ['once', 'twice', 'lost', 'stuck', 'dead'],
      effects: ['once', 'twice', 'twice', 'ghost'],
      pending: ['stuck'],
      dead: ['dead'],
    }),
  )
  expect(total.once + total.duplicate + total.lost + total.stuck + total.dead).toBe(5)
})

test('an effect of a group that does not exist is an error of the witness, not silence', () => {
  const wrong = { ...history({}), effects: [{ orderId: 'a', group: 'cupon' }] }
  expect(() => balance(wrong)).toThrow('unknown group "cupon"')
})
