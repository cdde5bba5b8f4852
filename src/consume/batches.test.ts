import { describe, expect, test } from 'vitest'
import type { SqliteTx } from '../databases/sqlite.ts'
import { discard, fixedRetries } from '../index.ts'
import { until } from '../testing/until.ts'
import { OrderPaid, dead, effect, effects, numbers, publish, settled, waybill } from './shop.fixture.ts'

describe('batches (P8)', () => {
  test('a handler takes up to its batch in one transaction', async () => {
    const sizes: number[] = []
    waybill.consume(OrderPaid, { group: 'red-packet', from: 'oldest', batch: 10 }, (messages, { tx }) => {
      sizes.push(messages.length)
      for (const message of messages) effect(tx, message.body.n)
    })
    await publish(25, () => 'one-queue')
    await waybill.start()
    await settled(25)
    expect(sizes).toEqual([10, 10, 5])
    expect(await effects()).toEqual(numbers(25))
  })

  test('a failing batch is split until the culprit is alone; only it is charged, and the others take effect once', async () => {
    waybill.consume(
      OrderPaid,
      { group: 'red-packet', from: 'oldest', batch: 16, retry: fixedRetries() },
      (messages, { tx }) => {
        for (const message of messages) {
          effect(tx, message.body.n)
          if (message.body.n === 11) throw new Error('bad apple')
        }
      },
    )
    await publish(16, () => 'one-queue')
    await waybill.start()
    await dead(1)
    await settled(15)
    expect(await effects()).toEqual(numbers(16).filter((n) => n !== 11))
    expect(await waybill.deadLetters.list()).toMatchObject([{ key: '11', attempts: 1 }])
  })

  test('an ordered batch: the failing key holds its followers inside the same split', async () => {
    waybill.consume(
      OrderPaid,
      { group: 'red-packet', from: 'oldest', batch: 16, retry: fixedRetries(), order: 'sharding-key' },
      (messages, { tx }) => {
        for (const message of messages) {
          effect(tx, message.body.n)
          if (message.body.n === 3) throw new Error('bad head')
        }
      },
    )
    await publish(16, (n) => `user-${n % 2}`)
    await waybill.start()
    await dead(1)
    await until('its followers are held', async () => (await waybill.search({ state: 'held' })).length === 6)
    await settled(9)
    const order = await effects()
    expect(order.filter((n) => n % 2 === 1)).toEqual([1])
    expect(order.filter((n) => n % 2 === 0)).toEqual([2, 4, 6, 8, 10, 12, 14, 16])
  })

  test('a batch that answers discard is discarded whole', async () => {
    const handler = ((_: unknown, { tx }: { tx: SqliteTx }) => {
      effect(tx, 0)
      return discard({ because: 'not wanted' })
    }) as unknown as () => void
    waybill.consume(OrderPaid, { group: 'red-packet', from: 'oldest', batch: 5 }, handler)
    await publish(5, () => 'one-queue')
    await waybill.start()
    await until(
      'all are discarded',
      async () => (await waybill.search({ group: 'red-packet', state: 'discarded' })).length === 5,
    )
    expect(await effects()).toEqual([0])
  })
})
