import { beforeEach, expect, test } from 'vitest'
import { queueOf } from '../core/queue.ts'
import {
  type Dependency,
  DependencyDown,
  type DependencyOptions,
  dependency,
  fixedRetries,
} from '../index.ts'
import { until } from '../testing/until.ts'
import { VirtualClock } from '../testing/virtual-clock.ts'
import { consume, effect, effects, numbers, open, publish, waybill } from './shop.fixture.ts'

// What a dependency, its probe or a handler that waits for it must not hold up for ever.
let clock: VirtualClock
let isUp: boolean

beforeEach(() => {
  clock = new VirtualClock()
  isUp = true
  open({ ports: { clock } })
})

const declared = (options: Partial<DependencyOptions> = {}): Dependency =>
  dependency('logistics', { probe: () => isUp, every: '5s', ...options })

function call(_n: number): void {
  if (!isUp) throw new DependencyDown('logistics', 'HTTP 503')
}

function ships(
  logistics: Dependency,
  ship: (n: number) => void | Promise<void>,
  options: Partial<Parameters<typeof consume>[0]> = {},
): void {
  consume({ retry: fixedRetries(), dependencies: [logistics], ...options }, async (n, tx) => {
    await ship(n)
    effect(tx, n)
  })
}

/** Waits in real time while virtual time goes on. */
function eventually(what: string, condition: () => unknown): Promise<unknown> {
  return until(what, async () => {
    await pass(500)
    return condition()
  })
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) await clock.advance(100)
}

const handled = (count: number): Promise<unknown> =>
  eventually(`${count} effects are there`, async () => (await effects()).length >= count)

/** `stop` takes as long as it wants, in virtual time; answers how long that was. */
async function stopped(withinMs: number): Promise<number> {
  const begun = clock.now()
  let isStopped = false
  const stopping = waybill.stop({ withinMs }).then(() => (isStopped = true))
  await eventually('it has stopped', () => isStopped)
  await stopping
  return clock.now() - begun
}

/** A sharding key of each of the four queues. */
const keys = numbers(4, 0).map((queue) =>
  numbers(99)
    .map(String)
    .find((shardingKey) => queueOf({ id: '', shardingKey }, 4) === queue)!,
)

test('queues whose messages wait for their turn behind those of another queue are handed over', async () => {
  const isolated = waybill
  isUp = false
  ships(declared(), (n) => call(n), { concurrency: 1 })
  await waybill.start()
  await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
  // The group's only turn is taken by a queue that is not the first to be handed over.
  await publish(1, () => keys[3]!)
  await pass(1_000)
  await publish(39, (n) => keys[n % 4]!, 2)
  await pass(1_000)
  open({ ports: { clock } })
  ships(declared({ probe: () => {} }), () => {}, { concurrency: 1 })
  await waybill.start()
  await eventually('the other instance has its share', async () => {
    const owners = (await waybill.lag()).filter(({ reader }) => reader === 'red-packet')
    return new Set(owners.map(({ owner }) => owner)).size === 2
  })
  await handled(15)
  const stopping = isolated.stop({ withinMs: 1_000 })
  await handled(40)
  await stopping
  expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(40))
})

test('a message that hangs while it tests the dependency keeps the others waiting for half a minute', async () => {
  isUp = false
  const hanging = async (n: number): Promise<void> => {
    if (n === 1) await new Promise(() => {})
    call(n)
  }
  ships(declared(), hanging, { concurrency: 4 })
  await publish(10, () => keys[0]!)
  await waybill.start()
  await eventually('it is open', async () => (await waybill.dependencies())[0]?.state === 'open')
  isUp = true
  await pass(25_000)
  expect(await effects()).toEqual([])
  await handled(9)
  await stopped(0)
})

test('a probe that hangs does not hold up stop, nor is a failure charged that it was asked about', async () => {
  let hangs = false
  const probe = (): Promise<void> | undefined => (hangs ? new Promise(() => {}) : undefined)
  ships(declared({ probe, probeTimeout: '1h' }), () => {
    hangs = true
    throw new DependencyDown('logistics', 'timeout')
  })
  await publish(1)
  await waybill.start()
  await eventually('the probe was asked', () => hangs)
  expect(await stopped(10_000)).toBeLessThan(2_000)
  expect(clock.pending).toBe(0)
  open({ ports: { clock } })
  expect(await waybill.search({ state: 'retrying' })).toMatchObject([{ groups: [{ attempts: 0 }] }])
})
