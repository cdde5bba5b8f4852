import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { WaybillError } from '../core/errors.ts'
import { fixedRetries, topic } from '../index.ts'
import { until } from '../testing/until.ts'
import {
  type Order,
  OrderPaid,
  consume,
  dead,
  effect,
  effects,
  numbers,
  publish,
  settled,
  waybill,
} from './shop.fixture.ts'

describe('an effect and its receipt', () => {
  test('every message takes effect once in every group', async () => {
    consume({}, (n, tx) => effect(tx, n))
    consume({ group: 'coupon' }, (n, tx) => effect(tx, n, 'coupon'))
    await publish(30)
    await waybill.start()
    await settled(30)
    await until('the other group is done', async () => (await effects('coupon')).length === 30)
    expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(30))
  })

  test('P7: a throw rolls the effect back, and the next attempt is told its number', async () => {
    const attempts: number[] = []
    consume({}, (n, tx, attempt) => {
      effect(tx, n)
      attempts.push(attempt)
      if (attempt < 3) throw new Error('not yet')
    })
    await publish(1)
    await waybill.start()
    await settled(1)
    expect(attempts).toEqual([1, 2, 3])
    expect(await effects()).toEqual([1])
  })

  test('what a handler publishes is in its transaction: gone when it fails, there once when it succeeds', async () => {
    const Issued = topic<Order>('red-packet.issued')
    waybill.consume(
      OrderPaid,
      { group: 'red-packet', retry: fixedRetries('1ms') },
      (message, { tx, publish: publishInside, attempt }) => {
        publishInside(Issued, { key: 'issued', body: message.body })
        effect(tx, message.body.n)
        if (attempt === 1) throw new Error('after publishing')
      },
    )
    await waybill.start()
    await publish(1)
    await settled(1)
    expect(await waybill.search({ key: 'issued' })).toHaveLength(1)
  })

  test('P7: a passing failure re-runs the handler at once and charges nobody', async () => {
    let runs = 0
    const attempts: number[] = []
    consume({ retry: fixedRetries() }, (n, tx, attempt) => {
      attempts.push(attempt)
      if (++runs <= 3) throw new WaybillError('store.busy', 'planted')
      effect(tx, n)
    })
    await publish(1)
    await waybill.start()
    await settled(1)
    expect(attempts).toEqual([1, 1, 1, 1])
    expect(await waybill.deadLetters.list()).toEqual([])
  })

  test('a handler that awaits I/O between its statements fails with store.transaction-left-open and leaves no effect', async () => {
    consume({ retry: fixedRetries() }, async (n, tx) => {
      effect(tx, n)
      await new Promise((resolve) => setImmediate(resolve))
      effect(tx, n)
    })
    await publish(1)
    await waybill.start()
    await dead(1)
    expect(await effects()).toEqual([])
    expect(await waybill.deadLetters.list()).toMatchObject([
      { because: expect.stringContaining('store.transaction-left-open') },
    ])
  })

  test('handlers may await I/O before their first statement, many at once', async () => {
    let running = 0
    let most = 0
    consume({ concurrency: 5 }, async (n, tx) => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      await new Promise((resolve) => setImmediate(resolve))
      running--
      effect(tx, n)
    })
    await publish(40)
    await waybill.start()
    await settled(40)
    expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(40))
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(5)
  })

  test('a handler that swallows the error of its transaction does not commit', async () => {
    consume({ retry: fixedRetries() }, (n, tx) => {
      effect(tx, n)
      try {
        tx.exec('commit')
      } catch {
        // Swallowed, as careless code does.
      }
    })
    await publish(1)
    await waybill.start()
    await dead(1)
    expect(await effects()).toEqual([])
  })

  test("a schema's transforms run once, on consume, and a body that does not fit is dead-lettered", async () => {
    const Priced = topic('order.priced', z.object({ amount: z.string().regex(/^\d+$/).transform(Number) }))
    const Raw = topic<unknown>('order.priced')
    waybill.consume(Priced, { group: 'red-packet' }, (message, { tx }) => effect(tx, message.body.amount))
    await waybill.start()
    await waybill.publishNow(Priced, { body: { amount: '42' } })
    await waybill.publishNow(Raw, { body: { amount: 'a lot' } })
    await dead(1)
    await settled(1)
    expect(await effects()).toEqual([42])
    expect(await waybill.deadLetters.list()).toMatchObject([{ cause: 'message.body-invalid' }])
  })

  test('the idempotency key is the same at every attempt', async () => {
    const keys = new Set<string>()
    waybill.consume(
      OrderPaid,
      { group: 'red-packet', retry: fixedRetries('1ms') },
      (message, { tx, idempotencyKey, attempt }) => {
        keys.add(idempotencyKey)
        effect(tx, 1)
        if (attempt === 1) throw new Error('again')
      },
    )
    await waybill.start()
    const id = await waybill.publishNow(OrderPaid, { body: { n: 1 } })
    await settled(1)
    expect([...keys]).toEqual([`red-packet:${id}`])
  })
})

test('what a handler publishes carries on the traceparent of what it handles', async () => {
  const Issued = topic<Order>('red-packet.issued')
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const seen: (string | undefined)[] = []
  waybill.consume(
    OrderPaid,
    { group: 'red-packet' },
    (message, { publish: publishInside }) => void publishInside(Issued, { body: message.body }),
  )
  waybill.consume(Issued, { group: 'coupon' }, (message) => void seen.push(message.headers['traceparent']))
  await waybill.start()
  await waybill.publishNow(OrderPaid, { headers: { traceparent }, body: { n: 1 } })
  await until('it was handled', () => seen.length === 1)
  expect(seen).toEqual([traceparent])
})
