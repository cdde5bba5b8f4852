import { beforeEach, describe, expect, test } from 'vitest'
import type { SqliteTx } from '../databases/sqlite.ts'
import {
  type Dependency,
  DependencyDown,
  type DependencyOptions,
  type WaybillOptions,
  dependency,
  fixedRetries,
} from '../index.ts'
import { VirtualClock } from '../testing/virtual-clock.ts'
import { until } from '../testing/until.ts'
import { OrderPaid, consume, effect, effects, numbers, open, publish, waybill } from './shop.fixture.ts'

/** A third party that is up or down, and what was asked of it. */
class Logistics {
  isUp = true
  isProbeUp: boolean | undefined
  calls: number[] = []
  probes = 0
  running = 0
  readonly runningAtBegin: number[] = []

  declared(options: Partial<DependencyOptions> = {}): Dependency {
    return dependency('logistics', { probe: () => this.probe(), every: '5s', ...options })
  }

  probe(): boolean {
    this.probes++
    return this.isProbeUp ?? this.isUp
  }

  call(n: number): void {
    this.calls.push(n)
    if (!this.isUp) throw new DependencyDown('logistics', 'HTTP 503')
  }

  async slowCall(n: number): Promise<void> {
    this.runningAtBegin.push(++this.running)
    await new Promise<void>((resolve) => clock.after(100, resolve))
    this.running--
    this.call(n)
  }
}

let clock: VirtualClock
let logistics: Logistics

beforeEach(() => {
  clock = new VirtualClock()
  logistics = new Logistics()
  instance()
})

function instance(options: Partial<WaybillOptions<SqliteTx, 'sync'>> = {}): void {
  open({ ports: { clock }, ...options })
}

/** Waits in real time while virtual time goes on. */
function eventually(what: string, condition: () => unknown): Promise<unknown> {
  return until(what, async () => {
    for (let i = 0; i < 5; i++) await clock.advance(100)
    return condition()
  })
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) await clock.advance(100)
}

const handled = (count: number): Promise<unknown> =>
  eventually(`${count} effects are there`, async () => (await effects()).length >= count)

/** A group that dies of the first failure that is charged to a message. */
function ships(
  declared: Dependency,
  ship: (n: number) => void | Promise<void>,
  options: Partial<Parameters<typeof consume>[0]> = {},
): void {
  consume({ retry: fixedRetries(), dependencies: [declared], ...options }, async (n, tx) => {
    await ship(n)
    effect(tx, n)
  })
}

describe('a dependency that is down', () => {
  test('burns no attempts: its group waits, and everything is delivered once it is up', async () => {
    logistics.isUp = false
    ships(logistics.declared(), (n) => logistics.call(n))
    await publish(50)
    await waybill.start()
    await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
    const { length } = logistics.calls
    await pass(60_000)
    expect(length).toBeLessThanOrEqual(8)
    expect(logistics.calls).toHaveLength(length)
    expect(await waybill.search({ state: 'dead' })).toEqual([])
    logistics.isUp = true
    await handled(50)
    expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(50))
    expect(await waybill.dependencies()).toMatchObject([
      { name: 'logistics', state: 'closed', because: null, groups: ['red-packet'], service: 'shop' },
    ])
  })

  test('is found by the probe at the start, and by the first failure later', async () => {
    logistics.isUp = false
    ships(logistics.declared(), (n) => logistics.call(n))
    await waybill.start()
    await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
    await publish(3)
    await pass(3_000)
    expect(logistics.calls).toEqual([])
    expect(await waybill.dependencies()).toMatchObject([{ because: 'its probe says that it is not healthy' }])
  })

  test('a failed message is retrying by the dependency, with no attempt charged', async () => {
    ships(logistics.declared({ every: '1h' }), (n) => logistics.call(n))
    await waybill.start()
    await pass(1_000)
    logistics.isUp = false
    await publish(1)
    await eventually('it is retrying', async () => (await waybill.search({ state: 'retrying' })).length === 1)
    expect((await waybill.search({ state: 'retrying' }))[0]!.groups).toMatchObject([
      { attempts: 0, cause: 'dependency.down', because: 'dependency.down: logistics: HTTP 503' },
    ])
  })

  test('is half-open with one real message at a time, then ramps up', async () => {
    logistics.isUp = false
    ships(logistics.declared(), (n) => logistics.slowCall(n), { concurrency: 8 })
    await waybill.start()
    await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
    await publish(60)
    logistics.isUp = true
    await handled(60)
    // How many ran when the next one had begun: one alone, then two after its success, then four.
    expect(logistics.runningAtBegin.slice(0, 3)).toEqual([1, 1, 2])
    expect(Math.max(...logistics.runningAtBegin.slice(0, 7))).toBeLessThanOrEqual(4)
    expect(Math.max(...logistics.runningAtBegin)).toBe(8)
    expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(60))
  })

  test('leaves its instances ready: a group that waits on purpose is not stalled', async () => {
    logistics.isUp = false
    ships(logistics.declared(), (n) => logistics.call(n))
    await publish(3)
    await waybill.start()
    await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
    await waybill.health()
    await pass(120_000)
    expect(await waybill.health()).toMatchObject({ ready: true })
  })

  test('holds only the groups that need it', async () => {
    logistics.isUp = false
    ships(logistics.declared(), (n) => logistics.call(n))
    waybill.consume(OrderPaid, { group: 'coupon', from: 'oldest' }, (message, { tx }) =>
      effect(tx, message.body.n, 'coupon'),
    )
    await publish(20)
    await waybill.start()
    await eventually('the other group is through', async () => (await effects('coupon')).length === 20)
    expect(await effects()).toEqual([])
  })

  test('whose probe hangs counts as down', async () => {
    const declared = logistics.declared({ probe: () => new Promise(() => {}), probeTimeout: '2s' })
    ships(declared, (n) => logistics.call(n))
    await waybill.start()
    await pass(3_000)
    expect(await waybill.dependencies()).toMatchObject([
      { state: 'open', because: 'its probe took longer than 2000 ms' },
    ])
  })

  test('flapping burns no attempts either: every message is handled once', async () => {
    ships(logistics.declared(), (n) => logistics.slowCall(n))
    await publish(200)
    await waybill.start()
    await eventually('all is through', async () => {
      logistics.isUp = Math.floor(clock.now() / 1_700) % 2 === 0
      return (await effects()).length >= 200
    })
    expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(200))
    expect(await waybill.deadLetters.list()).toEqual([])
  })

  test('keeps the order of each key, and a batch whole', async () => {
    logistics.isUp = false
    const key = (n: number): string => `user-${n % 3}`
    ships(logistics.declared(), (n) => logistics.call(n), { order: 'sharding-key' })
    waybill.consume(
      OrderPaid,
      {
        group: 'coupon',
        from: 'oldest',
        batch: 10,
        order: 'sharding-key',
        retry: fixedRetries(),
        dependencies: [],
      },
      () => {
        throw new DependencyDown('logistics', 'not declared here')
      },
    )
    await publish(60, key)
    await waybill.start()
    await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
    logistics.isUp = true
    await handled(60)
    const order = await effects()
    for (const remainder of [0, 1, 2]) {
      const of = (list: readonly number[]): number[] => list.filter((n) => n % 3 === remainder)
      expect(of(order)).toEqual(of(numbers(60)))
    }
  })

  test('stopped while its group waits: what was not begun is delivered by the next instance', async () => {
    logistics.isUp = false
    ships(logistics.declared(), (n) => logistics.call(n))
    await publish(30)
    await waybill.start()
    await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
    await waybill.stop({ withinMs: 1_000 })
    logistics.isUp = true
    instance()
    expect(await waybill.dependencies()).toEqual([])
    ships(logistics.declared(), (n) => logistics.call(n))
    await waybill.start()
    await handled(30)
    expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(30))
  })
})

describe('P28: whose fault it is', () => {
  test('the first failure of a message in one group is not its second because it failed in another', async () => {
    const declared = logistics.declared()
    const failed = new Set<string>()
    const once = (group: string, n: number): void => {
      if (n !== 1 || failed.has(group)) return
      failed.add(group)
      throw new DependencyDown('logistics', 'HTTP 503')
    }
    ships(declared, (n) => once('red-packet', n), { order: 'sharding-key' })
    waybill.consume(
      OrderPaid,
      {
        group: 'coupon',
        from: 'oldest',
        order: 'sharding-key',
        retry: fixedRetries(),
        dependencies: [declared],
      },
      async ({ body: { n } }, { tx }) => {
        if (n === 1) await new Promise<void>((resolve) => clock.after(2_000, resolve))
        once('coupon', n)
        effect(tx, n, 'coupon')
      },
    )
    await waybill.start()
    await publish(5, String)
    await handled(5)
    await eventually('all are through', async () => (await effects('coupon')).length === 5)
    expect(await waybill.deadLetters.list()).toEqual([])
  })

  test('P8: a batch fails as one: it does not open a healthy dependency, nor make offenders of its innocents', async () => {
    const opened: string[] = []
    const failed = new Set<number>()
    open({
      ports: {
        clock,
        log: { debug() {}, info() {}, error() {}, warn: (_, message) => void opened.push(message) },
      },
    })
    waybill.consume(
      OrderPaid,
      {
        group: 'red-packet',
        from: 'oldest',
        batch: 10,
        retry: fixedRetries(),
        dependencies: [logistics.declared()],
      },
      (messages, { tx }) => {
        // Of the batch, 3 is to blame; 5 fails once by itself, later.
        for (const { n } of messages.map(({ body }) => body)) {
          const fails = n === 3 ? failed.size < 2 : n === 5 && messages.length === 1 && !failed.has(5)
          if (fails) {
            failed.add(messages.length === 1 ? n : 0)
            throw new DependencyDown('logistics', 'HTTP 500')
          }
          effect(tx, n)
        }
      },
    )
    await publish(10, () => 'same')
    await waybill.start()
    await handled(10)
    expect(opened).toEqual([])
    expect(failed).toContain(5)
    expect(await waybill.deadLetters.list()).toEqual([])
  })

  test('a message that makes a healthy dependency fail is charged itself, and the others go on', async () => {
    const poison = 3
    ships(
      logistics.declared(),
      (n) => {
        if (n === poison) throw new DependencyDown('logistics', 'HTTP 500')
        logistics.call(n)
      },
      { retry: fixedRetries('1s') },
    )
    await waybill.start()
    let n = 0
    await eventually('it is dead', async () => {
      await publish(1, undefined, ++n)
      return (await waybill.deadLetters.list()).length > 0
    })
    await handled(n - 1)
    expect(await waybill.deadLetters.list()).toMatchObject([
      { key: '3', cause: 'handler.retries-exhausted', dependency: 'logistics', attempts: 2 },
    ])
    expect(await effects()).toHaveLength(n - 1)
  })

  test('messages that fail at the head do not keep the others from testing it: it is tested by rotation', async () => {
    logistics.isUp = false
    ships(logistics.declared(), (n) => {
      if (n <= 5) throw new DependencyDown('logistics', 'HTTP 500')
      logistics.call(n)
    })
    await publish(40)
    await waybill.start()
    await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
    logistics.isUp = true
    await handled(35)
    expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(35, 6))
  })

  test('many that fail in a row open it even if the probe says that it is healthy', async () => {
    logistics.isUp = false
    logistics.isProbeUp = true
    ships(logistics.declared(), (n) => logistics.call(n), { concurrency: 1 })
    await publish(50)
    await waybill.start()
    await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
    expect(logistics.calls.length).toBeLessThan(10)
    logistics.isUp = true
    await handled(50)
    expect(await waybill.deadLetters.list()).toEqual([])
  })

  test('errors that the predicate knows are the dependency’s; a predicate that throws blames the handler', async () => {
    logistics.isUp = false
    const declared = logistics.declared({
      matches: (error) => {
        const { message } = error as Error
        if (message === 'odd') throw new Error('the predicate is broken')
        return message.startsWith('ECONNREFUSED')
      },
    })
    ships(declared, (n) => {
      if (n === 1) throw new Error('odd')
      if (n === 2) throw new Error('the handler is broken')
      if (!logistics.isUp) throw new Error('ECONNREFUSED 10.0.0.1')
    })
    await waybill.start()
    logistics.isProbeUp = true
    await pass(6_000)
    await publish(5)
    await eventually('both are dead', async () => (await waybill.deadLetters.list()).length === 2)
    logistics.isUp = true
    await handled(3)
    const blamed = (await waybill.deadLetters.list()).map((letter) => [letter.key, letter.dependency])
    expect(blamed.toSorted()).toEqual([
      ['1', null],
      ['2', null],
    ])
  })

  test('thrown in a group that does not name the dependency, it is charged to the message and remembered', async () => {
    consume({ retry: fixedRetries() }, () => {
      throw new DependencyDown('logistics', 'HTTP 503')
    })
    await publish(1)
    await waybill.start()
    await eventually('it is dead', async () => (await waybill.deadLetters.list()).length === 1)
    expect(await waybill.deadLetters.list({ dependency: 'logistics' })).toMatchObject([
      { dependency: 'logistics' },
    ])
  })
})

describe('its rate and its dead letters', () => {
  test('perSecond: at most so many begin in a second, healthy or recovering', async () => {
    const begun: number[] = []
    ships(logistics.declared({ perSecond: 10 }), () => void begun.push(clock.now()))
    await publish(40)
    await waybill.start()
    await handled(40)
    for (const from of begun)
      expect(begun.filter((at) => at >= from && at < from + 1_000).length).toBeLessThanOrEqual(10)
  })

  test('dead letters that it caused are redriven by themselves when it is healthy, each as often as the cap says', async () => {
    logistics.isUp = false
    // Declared by nobody at first: its failures are charged to the messages.
    consume({ retry: fixedRetries() }, (n) => logistics.call(n))
    await publish(5)
    await waybill.start()
    await eventually('all are dead', async () => (await waybill.deadLetters.list()).length === 5)
    await waybill.stop()
    instance()
    ships(logistics.declared({ redrives: 1 }), (n) => {
      if (n === 5) throw new Error('broken by itself')
      logistics.call(n)
    })
    await waybill.start()
    await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
    await pass(20_000)
    expect(await waybill.deadLetters.list()).toHaveLength(5)
    logistics.isUp = true
    await handled(4)
    await eventually('the fifth is dead again', async () => (await waybill.deadLetters.list()).length === 1)
    expect(await waybill.redrives.list()).toMatchObject([
      { state: 'done', total: 5, redriven: 5, by: 'waybill', because: 'logistics is healthy again' },
    ])
    expect(await waybill.deadLetters.list()).toMatchObject([{ key: '5', generation: 1, dependency: null }])
  })
})

test('what is declared wrongly is refused', () => {
  const refused = { code: 'config.invalid' }
  const probe = (): void => {}
  const declare =
    (options: object): (() => unknown) =>
    () =>
      dependency('logistics', options as DependencyOptions)
  expect(() => dependency('Logistics!', { probe })).toThrow(expect.objectContaining(refused))
  expect(declare({})).toThrow(expect.objectContaining(refused))
  expect(declare({ probe, perSecond: 0 })).toThrow(expect.objectContaining(refused))
  expect(declare({ probe, failures: 0 })).toThrow(expect.objectContaining(refused))
  expect(declare({ probe, redrives: -1 })).toThrow(expect.objectContaining(refused))
  expect(declare({ probe, every: 'soon' })).toThrow(expect.objectContaining({ code: 'duration.invalid' }))
  expect(() => consume({ dependencies: ['logistics' as unknown as Dependency] }, () => {})).toThrow(
    expect.objectContaining({ code: 'group.options-invalid' }),
  )
})

test('two declarations of one name are refused at the start', async () => {
  ships(logistics.declared(), () => {})
  waybill.consume(
    OrderPaid,
    { group: 'coupon', from: 'oldest', dependencies: [logistics.declared()] },
    () => {},
  )
  await expect(waybill.start()).rejects.toMatchObject({ code: 'config.invalid' })
})
