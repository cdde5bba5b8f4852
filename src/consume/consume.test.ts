import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { WaybillError } from '../core/errors.ts'
import { silentLog } from '../core/log.ts'
import { type SqliteTx, sqlite } from '../databases/sqlite.ts'
import {
  type ConsumeOptions,
  type RetryPolicy,
  Waybill,
  type WaybillOptions,
  deadLetter,
  discard,
  fixedRetries,
  retry,
  topic,
} from '../index.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { until } from '../testing/until.ts'

interface Order {
  readonly n: number
}
const OrderPaid = topic<Order>('order.paid')
const operator = { by: 'test', because: 'testing' }

let folder: ReturnType<typeof temporaryFolder>
let waybill: Waybill<SqliteTx, 'sync'>
const opened: Waybill<SqliteTx, 'sync'>[] = []

function open(options: Partial<WaybillOptions<SqliteTx, 'sync'>> = {}): Waybill<SqliteTx, 'sync'> {
  const instance = new Waybill({
    service: 'shop',
    database: sqlite(folder.file('shop.db')),
    log: silentLog,
    ...options,
  })
  opened.push(instance)
  return instance
}

/** Publishes 1…count, in order; the key is the number, the sharding key as given. */
async function publish(count: number, shardingKey?: (n: number) => string, from = 1): Promise<void> {
  for (let n = from; n < from + count; n++)
    await waybill.publishNow(OrderPaid, { key: String(n), shardingKey: shardingKey?.(n), body: { n } })
}

function effect(tx: SqliteTx, n: number, grp = 'red-packet'): void {
  tx.prepare('insert into effects values (?, ?)').run(n, grp)
}

async function effects(grp = 'red-packet'): Promise<readonly number[]> {
  return waybill.transaction((tx) =>
    tx
      .prepare('select n from effects where grp = ? order by rowid')
      .all(grp)
      .map((row: { n: number }) => row.n),
  )
}

function consume(
  options: Partial<ConsumeOptions>,
  handler: (n: number, tx: SqliteTx, attempt: number) => unknown,
): void {
  waybill.consume(
    OrderPaid,
    { group: 'red-packet', from: 'oldest', retry: fixedRetries('1ms', '1ms'), ...options },
    (message, { tx, attempt }) => handler(message.body.n, tx, attempt) as undefined,
  )
}

const settled = (count: number): Promise<unknown> =>
  until(`${count} effects are there`, async () => (await effects()).length >= count)
const dead = (count: number): Promise<unknown> =>
  until(`${count} dead letters are there`, async () => (await waybill.deadLetters.list()).length === count)
const numbers = (count: number, from = 1): number[] => Array.from({ length: count }, (_, i) => i + from)

beforeEach(async () => {
  folder = temporaryFolder()
  waybill = open()
  // No unique key: it would hide the very fault that the tests look for.
  await waybill.transaction((tx) => tx.exec('create table effects (n, grp)'))
})

afterEach(async () => {
  for (const instance of opened.splice(0)) await instance.stop({ withinMs: 0 })
  folder.remove()
})

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

describe('groups', () => {
  test('P26: a new group with older messages must say where it starts', async () => {
    await publish(3)
    waybill.consume(OrderPaid, { group: 'red-packet' }, () => {})
    await expect(waybill.start()).rejects.toThrow(/group\.start-position-needed.*3 older/)
  })

  test("P26: from 'now' skips what is there, and counts only at creation", async () => {
    await publish(3)
    consume({ from: 'now' }, (n, tx) => effect(tx, n))
    await waybill.start()
    await publish(2, undefined, 4)
    await settled(2)
    expect((await effects()).toSorted()).toEqual([4, 5])
  })

  test('messages with other tags get the disposition filtered', async () => {
    consume({ tags: 'paid || refunded' }, (n, tx) => effect(tx, n))
    await waybill.start()
    await waybill.publishNow(OrderPaid, { tag: 'paid', body: { n: 1 } })
    await waybill.publishNow(OrderPaid, { key: 'other', tag: 'created', body: { n: 2 } })
    await waybill.publishNow(OrderPaid, { key: 'none', body: { n: 3 } })
    await waybill.publishNow(OrderPaid, { tag: 'refunded', body: { n: 4 } })
    await settled(2)
    await until(
      'the filtered ones are settled',
      async () => (await waybill.search({ state: 'filtered' })).length === 2,
    )
    expect((await effects()).toSorted()).toEqual([1, 4])
  })

  test('P6: a message older than the receipts is never run, but parked in plain sight', async () => {
    let now = Date.now()
    const clockOptions = {
      retention: '1h',
      ports: { clock: { ...(await import('../system.ts')).systemClock, now: () => now } },
    } as const
    waybill = open(clockOptions)
    await publish(1)
    now += 2 * 3_600_000
    consume({}, (n, tx) => effect(tx, n))
    await waybill.start()
    await dead(1)
    expect(await waybill.deadLetters.list()).toMatchObject([{ cause: 'receipt.older-than-horizon' }])
    expect(await effects()).toEqual([])
  })

  test('one handler per topic and group, and consume only before start', async () => {
    consume({}, () => {})
    expect(() => consume({}, () => {})).toThrow(expect.objectContaining({ code: 'group.options-invalid' }))
    await waybill.start()
    expect(() => consume({ group: 'late' }, () => {})).toThrow(
      expect.objectContaining({ code: 'group.options-invalid' }),
    )
  })
})

describe('order (P21)', () => {
  const key = (n: number): string => `user-${n % 2}`
  const of = (list: readonly number[], remainder: number): number[] => list.filter((n) => n % 2 === remainder)

  test('a retrying head holds its followers, other keys go on, and the order of each key is kept', async () => {
    const seen = new Set<number>()
    consume({ order: 'sharding-key', retry: fixedRetries('20ms', '20ms') }, (n, tx) => {
      if ((n === 3 || n === 5) && !seen.has(n)) {
        seen.add(n)
        throw new Error('once')
      }
      effect(tx, n)
    })
    await publish(20, key)
    await waybill.start()
    await settled(20)
    const order = await effects()
    expect(of(order, 1)).toEqual(of(numbers(20), 1))
    expect(of(order, 0)).toEqual(of(numbers(20), 0))
    expect(order).toHaveLength(20)
  })

  test('hold: a dead head holds its followers until it is redriven, and redrive replays the key in order', async () => {
    let healthy = false
    consume({ order: 'sharding-key', retry: fixedRetries() }, (n, tx) => {
      if (n === 3 && !healthy) throw new Error('down')
      effect(tx, n)
    })
    await publish(10, key)
    await waybill.start()
    await until('the other key is through', async () => of(await effects(), 0).length === 5)
    await until('the followers are held', async () => (await waybill.search({ state: 'held' })).length === 3)
    expect(of(await effects(), 1)).toEqual([1])
    healthy = true
    await waybill.deadLetters.redrive(await waybill.deadLetters.list(), operator)
    await settled(10)
    expect(of(await effects(), 1)).toEqual([1, 3, 5, 7, 9])
  })

  test('hold: discarding the dead head lets its followers go on, in order', async () => {
    consume({ order: 'sharding-key', retry: fixedRetries() }, (n, tx) => {
      if (n === 3) throw new Error('for ever')
      effect(tx, n)
    })
    await publish(10, key)
    await waybill.start()
    await until('the followers are held', async () => (await waybill.search({ state: 'held' })).length === 3)
    await waybill.deadLetters.discard(await waybill.deadLetters.list(), operator)
    await settled(9)
    expect(of(await effects(), 1)).toEqual([1, 5, 7, 9])
  })

  test('skip: a dead head is skipped, a retrying one is still waited for', async () => {
    const failures = new Map<number, number>()
    consume({ order: 'sharding-key', onFailure: 'skip', retry: fixedRetries('5ms') }, (n, tx) => {
      failures.set(n, (failures.get(n) ?? 0) + 1)
      if (n === 3 || (n === 5 && failures.get(5) === 1)) throw new Error('down')
      effect(tx, n)
    })
    await publish(10, key)
    await waybill.start()
    await settled(9)
    expect(of(await effects(), 1)).toEqual([1, 5, 7, 9])
    expect(await waybill.deadLetters.list()).toMatchObject([{ key: '3' }])
  })
})

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
})

describe('stopping', () => {
  test('stop lets running handlers finish, begins no new ones, and another instance goes on at once', async () => {
    let release = (): void => {}
    const entered = new Promise<void>((resolve) => {
      consume({ concurrency: 1 }, async (n, tx) => {
        resolve()
        await new Promise<void>((go) => (release = go))
        effect(tx, n)
      })
    })
    await publish(5, () => 'one-queue')
    await waybill.start()
    await entered
    const stopping = waybill.stop()
    release()
    await stopping
    waybill = open({ leaseMs: 300_000 })
    expect(await effects()).toEqual([1])
    consume({}, (n, tx) => effect(tx, n))
    await waybill.start()
    await settled(5)
    expect((await effects()).toSorted()).toEqual(numbers(5))
  })

  test('a handler that does not finish in time is aborted, does not commit, and its message is delivered again', async () => {
    waybill = open({ leaseMs: 1_000 })
    let aborted = false
    const entered = new Promise<void>((resolve) => {
      waybill.consume(OrderPaid, { group: 'red-packet', from: 'oldest' }, async (message, { tx, signal }) => {
        resolve()
        await new Promise<void>((go) => signal.addEventListener('abort', () => go()))
        aborted = true
        effect(tx, message.body.n)
      })
    })
    await publish(1)
    await waybill.start()
    await entered
    await waybill.stop({ withinMs: 1 })
    expect(aborted).toBe(true)
    waybill = open({ leaseMs: 1_000 })
    expect(await effects()).toEqual([])
    consume({}, (n, tx) => effect(tx, n))
    await waybill.start()
    // The lease of what was aborted lapses by itself: whoever held it might still have acted.
    await settled(1)
    expect(await effects()).toEqual([1])
  }, 20_000)
})

test('two instances share the queues of a group and together handle every message once', async () => {
  const by = new Map<string, number>()
  const start = async (name: string): Promise<Waybill<SqliteTx, 'sync'>> => {
    waybill = open()
    consume({}, (n, tx) => {
      effect(tx, n)
      by.set(name, (by.get(name) ?? 0) + 1)
    })
    await waybill.start()
    return waybill
  }
  const first = await start('first')
  await start('second')
  await until(
    'both hold queues',
    async () =>
      new Set(
        (await first.lag()).filter((queue) => queue.reader === 'red-packet').map((queue) => queue.owner),
      ).size === 2,
  )
  await publish(60)
  await settled(60)
  expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(60))
  expect([...by.keys()].toSorted()).toEqual(['first', 'second'])
})

test('a long backlog leaves room for timers, heartbeats and signals', async () => {
  let handledWhenTimerRan = -1
  let handled = 0
  consume({}, () => void handled++)
  await waybill.transaction(
    (tx) =>
      void waybill.publish(
        tx,
        OrderPaid,
        numbers(5_000).map((n) => ({ body: { n } })),
      ),
  )
  await waybill.start()
  setImmediate(() => (handledWhenTimerRan = handled))
  await until('all are handled', () => handled === 5_000)
  expect(handledWhenTimerRan).toBeLessThan(1_000)
})
