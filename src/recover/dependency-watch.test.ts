import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type DependencyGate,
  type DependencyOptions,
  type DependencySight,
  dependency,
} from '../core/dependencies.ts'
import type { DeadLetter } from '../core/dead-letter.ts'
import { WaybillError } from '../core/errors.ts'
import type { MessageId, OwnerId } from '../core/ids.ts'
import type { NewRedrive, RedriveFilter, RedriveJob, RedriveState } from '../core/redrive.ts'
import { type TestPorts, testPorts } from '../testing/ports.ts'
import { DependencyWatch, type DependencyWatchParts } from './dependency-watch.ts'

let ports: TestPorts
let isUp: boolean
let letters: Pick<DeadLetter, 'id' | 'generation'>[]
let jobs: (Pick<RedriveJob, 'id' | 'by'> & { state: RedriveState })[]
let sights: DependencySight[]
let failures: number
let watches: DependencyWatch[]

beforeEach(() => {
  ports = testPorts()
  isUp = true
  letters = [{ id: 'a' as MessageId, generation: 0 }]
  jobs = []
  sights = []
  failures = 0
  watches = []
})

afterEach(async () => {
  for (const watch of watches) await watch.stop()
})

const store = {
  dependencies: {
    report: async (sight: DependencySight) => void sights.push(sight),
    withdraw: async () => {},
  },
  deadLetters: async () => letters,
  redrives: {
    list: async ({ id, states }: RedriveFilter) =>
      jobs.filter((job) => (id === undefined || job.id === id) && (states?.includes(job.state) ?? true)),
    create: async ({ id, note }: NewRedrive) => {
      if (failures-- > 0) throw new WaybillError('store.busy', 'busy')
      const known = jobs.find((job) => job.id === id)
      const job = known ?? { id, by: note.by, state: 'running' as const }
      if (!known) jobs.push(job)
      return { job, created: !known }
    },
  },
} as unknown as DependencyWatchParts['store']

/** The dependencies of one more instance. */
function instance(options: Partial<DependencyOptions> = {}): DependencyGate {
  const one = new DependencyWatch({
    store,
    ports,
    owner: ports.ids.owner() as OwnerId,
    service: 'shop',
    redriving: () => {},
  })
  watches.push(one)
  const logistics = dependency('logistics', { probe: () => isUp, every: '5s', ...options })
  const gate = one.gateOf('red-packet', [logistics])!
  one.start()
  return gate
}

async function outage(): Promise<void> {
  isUp = false
  instance()
  await ports.clock.advance(1_000)
  isUp = true
  await ports.clock.advance(6_000)
}

describe('redrives of its own', () => {
  test('are one at a time, however many instances find it healthy, however often', async () => {
    instance()
    instance()
    instance()
    await ports.clock.advance(100)
    expect(jobs).toHaveLength(1)
    letters = [{ id: 'b' as MessageId, generation: 0 }]
    await outage()
    expect(jobs).toHaveLength(1)
  })

  test('are made of what died meanwhile when the one before has ended; one that is held holds them', async () => {
    instance()
    await ports.clock.advance(100)
    letters = [{ id: 'b' as MessageId, generation: 0 }]
    jobs[0]!.state = 'paused'
    await outage()
    await ports.clock.advance(60_000)
    expect(jobs).toHaveLength(1)
    jobs[0]!.state = 'done'
    await ports.clock.advance(10_000)
    expect(jobs.map(({ id }) => id)).toEqual(['logistics:a:0', 'logistics:b:0'])
  })

  test('that were cancelled are made again after the next outage only', async () => {
    instance()
    await ports.clock.advance(100)
    jobs[0]!.state = 'cancelled'
    await ports.clock.advance(60_000)
    expect(jobs).toHaveLength(1)
    await outage()
    expect(jobs).toHaveLength(2)
  })

  test('that were cancelled while another waited for them are not made good for either', async () => {
    instance()
    await ports.clock.advance(100)
    letters = [{ id: 'b' as MessageId, generation: 0 }]
    await outage()
    jobs[0]!.state = 'cancelled'
    await ports.clock.advance(60_000)
    expect(jobs).toHaveLength(1)
    await outage()
    expect(jobs).toHaveLength(2)
  })

  test('that could not be made are made a little later, unless it is down again', async () => {
    failures = 2
    instance()
    await ports.clock.advance(100)
    expect(jobs).toEqual([])
    await ports.clock.advance(20_000)
    expect(jobs).toHaveLength(1)
  })

  test('are never made of letters that were redriven as often as the cap says', async () => {
    letters = [{ id: 'a' as MessageId, generation: 3 }]
    instance()
    await ports.clock.advance(60_000)
    expect(jobs).toEqual([])
  })
})

test('what it says of a dependency that is well again does not lapse while it lives', async () => {
  const holds = (): boolean => sights.at(-1)!.until > ports.clock.now()
  isUp = false
  const gate = instance()
  await ports.clock.advance(100)
  expect(sights.map(({ state }) => state)).toEqual(['closed', 'open'])
  isUp = true
  await ports.clock.advance(5_000)
  gate.handled(['b' as MessageId])
  await ports.clock.advance(100)
  expect(sights.at(-1)).toMatchObject({ state: 'closed' })
  const { length } = sights
  for (let hours = 0; hours < 72; hours++) {
    await ports.clock.advance(3_600_000)
    expect(holds()).toBe(true)
  }
  expect(sights.length - length).toBeLessThan(12)
})

test('leaves no timer behind when it is stopped, open or with a redrive under way', async () => {
  instance()
  await ports.clock.advance(100)
  isUp = false
  instance()
  await ports.clock.advance(100)
  expect(ports.clock.pending).toBeGreaterThan(0)
  for (const watch of watches.splice(0)) await watch.stop()
  expect(ports.clock.pending).toBe(0)
})
