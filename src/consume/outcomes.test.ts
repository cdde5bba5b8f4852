import { describe, expect, test } from 'vitest'
import { deadLetter, discard, fixedRetries, retry, type RetryPolicy } from '../index.ts'
import { consume, dead, effect, effects, operator, publish, settled, waybill } from './shop.fixture.ts'

describe('outcomes', () => {
  test('retry({ in }) rolls back and comes again', async () => {
    consume({}, (n, tx, attempt) => {
      effect(tx, n)
      return attempt === 1 ? retry({ in: '1ms', because: 'not ready' }) : undefined
    })
    await publish(1)
    await waybill.start()
    await settled(1)
    expect(await effects()).toEqual([1])
  })

  test('deadLetter rolls back and keeps the reason', async () => {
    consume({}, (n, tx) => {
      effect(tx, n)
      return deadLetter({ because: 'no such user' })
    })
    await publish(1)
    await waybill.start()
    await dead(1)
    expect(await effects()).toEqual([])
    expect(await waybill.deadLetters.list()).toMatchObject([
      { group: 'red-packet', key: '1', cause: 'handler.dead-lettered', because: 'no such user', attempts: 1 },
    ])
  })

  test('discard commits what the handler wrote, with a disposition that says so', async () => {
    consume({}, (n, tx) => {
      effect(tx, n)
      return discard({ because: 'already has one' })
    })
    await publish(1)
    await waybill.start()
    await settled(1)
    expect(await waybill.search({ key: '1' })).toMatchObject([
      { groups: [{ state: 'discarded', because: 'already has one' }] },
    ])
  })

  test.each([true, 'done', { outcome: 'done' }, 0, null])(
    'returning %j is dead-lettered as handler.unknown-outcome',
    async (answer) => {
      consume({}, (n, tx) => {
        effect(tx, n)
        return answer
      })
      await publish(1)
      await waybill.start()
      await dead(1)
      expect(await effects()).toEqual([])
      expect(await waybill.deadLetters.list()).toMatchObject([{ cause: 'handler.unknown-outcome' }])
    },
  )

  test('when the schedule is used up the message is dead; redrive delivers it again, with fresh retries, once however often it is asked', async () => {
    let healthy = false
    consume({}, (n, tx) => {
      if (!healthy) throw new Error('logistics is down')
      effect(tx, n)
    })
    await publish(2)
    await waybill.start()
    await dead(2)
    const letters = await waybill.deadLetters.list()
    expect(letters).toMatchObject([
      { cause: 'handler.retries-exhausted', attempts: 3, because: 'logistics is down' },
      {},
    ])
    healthy = true
    expect(await waybill.deadLetters.redrive(letters, operator)).toBe(2)
    expect(await waybill.deadLetters.redrive(letters, operator)).toBe(0)
    await settled(2)
    expect((await effects()).toSorted()).toEqual([1, 2])
    expect(await waybill.deadLetters.list()).toEqual([])
  })

  test.each<[string, RetryPolicy]>([
    [
      'throws',
      {
        delayMs: () => {
          throw new Error('policy')
        },
      },
    ],
    ['answers NaN', { delayMs: () => Number.NaN }],
    ['answers a negative number', { delayMs: () => -1 }],
  ])('a retry policy that %s ends in a dead letter, not in a queue that stands still', async (_, policy) => {
    consume({ retry: policy }, (n, tx) => {
      if (n === 1) throw new Error('fails')
      effect(tx, n)
    })
    await publish(2, () => 'one-queue')
    await waybill.start()
    await dead(1)
    await settled(1)
    expect(await effects()).toEqual([2])
  })

  test("retry({ in: 'soon' }) throws duration.invalid inside the handler: an ordinary failure", async () => {
    consume({ retry: fixedRetries() }, () => retry({ in: 'soon' as never, because: 'x' }))
    await publish(1)
    await waybill.start()
    await dead(1)
    expect(await waybill.deadLetters.list()).toMatchObject([
      { because: expect.stringContaining('duration.invalid') },
    ])
  })

  test('redriving and discarding need a name and a reason', async () => {
    await expect(waybill.deadLetters.redrive([], { by: '', because: 'x' })).rejects.toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    )
  })
})
