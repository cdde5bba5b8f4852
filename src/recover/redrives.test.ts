import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { sqliteSubject } from '../conformance/sqlite-subject.ts'
import { StoreBench } from '../conformance/store-bench.ts'
import type { RedriveStore } from '../core/redrive.ts'
import { sqlite } from '../databases/sqlite.ts'
import { type TestPorts, testPorts } from '../testing/ports.ts'
import { RedriveRunner } from './redrive-runner.ts'
import { type RedriveOptions, Redrives } from './redrives.ts'

const note = { by: 'ann', because: 'the bank is back' }

interface Scene {
  readonly t: StoreBench
  readonly ports: TestPorts
  readonly redrives: Redrives
  readonly path: string
  /** How many ms after the first each letter was redriven. */
  redrivenAt(job: string): Promise<number[]>
}

/** A group with this many dead letters, over a virtual clock. */
async function withDead(count: number, work: (scene: Scene) => Promise<void>): Promise<void> {
  const ports = testPorts()
  const subject = await sqliteSubject({ at: sqlite, ports, advance: (ms) => ports.clock.advance(ms) })
  await StoreBench.use(subject, async (t) => {
    const lease = await t.groupWithLease('coupon')
    await t.publishMany(count)
    await t.buryAll(lease)
    const redrives = new Redrives(
      () => t.store,
      () => {},
      () => ports.ids.epoch(),
    )
    const redrivenAt = async (job: string): Promise<number[]> => {
      const times = (await redrives.show(job)).items.flatMap(({ at }) => (at === null ? [] : [at]))
      return times.map((at) => at - times[0]!)
    }
    await work({ t, ports, redrives, path: subject.path, redrivenAt })
  })
}

function runnerOver(
  redrives: RedriveStore,
  ports: TestPorts,
): { runner: RedriveRunner; redriven: () => number } {
  let calls = 0
  const runner = new RedriveRunner({ redrives, ports, redriven: () => void calls++ })
  runner.start()
  return { runner, redriven: () => calls }
}

describe('a redrive', () => {
  test('that is started twice under one id is one job, and each letter is redriven once', () =>
    withDead(3, async ({ t, redrives }) => {
      const clicked = await Promise.all([
        redrives.start({ group: 'coupon' }, { id: 'click', ...note }),
        redrives.start({ group: 'coupon' }, { id: 'click', perSecond: 1, by: 'bob', because: 'me too' }),
      ])
      expect(clicked[1]).toEqual(clicked[0])
      expect(await redrives.step()).toEqual({ redriven: 3, nextInMs: undefined })
      expect(await redrives.start({ group: 'coupon' }, { id: 'click', ...note })).toMatchObject({
        state: 'done',
      })
      expect(await redrives.list()).toMatchObject([{ id: 'click', total: 3, redriven: 3, gone: 0 }])
      expect(await t.store.deadLetters({})).toEqual([])
    }))

  test('that overlaps with another redrives what is left, and says of the rest that it was gone', () =>
    withDead(3, async ({ t, redrives }) => {
      const letters = await t.store.deadLetters({})
      await redrives.start(letters.slice(0, 2), { id: 'first', ...note })
      await redrives.start(letters, { id: 'second', ...note })
      expect((await redrives.step()).redriven).toBe(3)
      expect(await redrives.list()).toMatchObject([
        { id: 'second', state: 'done', redriven: 1, gone: 2 },
        { id: 'first', state: 'done', redriven: 2, gone: 0 },
      ])
    }))

  test('gets an id where none is given', () =>
    withDead(1, async ({ redrives }) => {
      const { id } = await redrives.start({}, note)
      expect(await redrives.show(id)).toMatchObject({ id, order: 'oldest-first', perSecond: null })
    }))

  test.each<[string, Partial<RedriveOptions>]>([
    ['an empty id', { id: '' }],
    ['an id with spaces', { id: 'my job' }],
    ['an id that is too long', { id: 'x'.repeat(101) }],
    ['a rate of nothing', { perSecond: 0 }],
    ['a rate that is no number', { perSecond: NaN }],
    ['a rate without end', { perSecond: Infinity }],
    ['an order that does not exist', { order: 'random' as 'oldest-first' }],
    ['no generation at all', { generationsMax: 0 }],
    ['a number of generations that is none', { generationsMax: NaN }],
  ])('with %s is refused: redrive.invalid', (_, options) =>
    withDead(1, async ({ redrives }) => {
      await expect(redrives.start({}, { ...note, ...options })).rejects.toMatchObject({
        code: 'redrive.invalid',
      })
      expect(await redrives.list()).toEqual([])
    }),
  )

  test('needs who and why, as does each change of it', () =>
    withDead(1, async ({ redrives }) => {
      const nobody = { by: '', because: 'x' }
      await expect(redrives.start({}, nobody)).rejects.toMatchObject({ code: 'config.invalid' })
      await redrives.start({}, { id: 'job', ...note })
      for (const change of ['pause', 'resume', 'cancel'] as const)
        await expect(redrives[change]('job', nobody)).rejects.toMatchObject({ code: 'config.invalid' })
      expect(await redrives.list()).toMatchObject([{ state: 'running' }])
    }))

  test('that nobody started: redrive.unknown', () =>
    withDead(1, async ({ redrives }) => {
      for (const ask of [
        redrives.show('x'),
        redrives.pause('x', note),
        redrives.resume('x', note),
        redrives.cancel('x', note),
      ])
        await expect(ask).rejects.toMatchObject({ code: 'redrive.unknown' })
    }))
})

test('P15: runners write nothing while no redrive is due', () =>
  withDead(2, async ({ t, ports, redrives, path }) => {
    const witness = new DatabaseSync(path, { readOnly: true })
    // Changes with every commit of another connection that wrote something.
    const version = (): unknown => witness.prepare('pragma data_version').get()!['data_version']
    const idle = version()
    const { runner, redriven } = runnerOver(t.store.redrives, ports)
    await ports.clock.advance(5_000)
    expect(version()).toBe(idle)
    await redrives.start({}, { perSecond: 0.1, ...note })
    await ports.clock.advance(2_000)
    expect(redriven()).toBe(1)
    const waiting = version()
    expect(waiting).not.toBe(idle)
    await ports.clock.advance(7_000)
    expect(version()).toBe(waiting)
    await runner.stop()
    witness.close()
  }))

describe('runners', () => {
  test('keep the rate together, however many there are', () =>
    withDead(40, async ({ t, ports, redrives, redrivenAt }) => {
      const stores = [t.store, (await t.another()).store, (await t.another()).store]
      const runners = stores.map((store) => runnerOver(store.redrives, ports))
      await redrives.start({}, { id: 'job', perSecond: 10, ...note })
      await ports.clock.advance(6_000)
      expect(await redrives.list()).toMatchObject([{ state: 'done', redriven: 40 }])
      const times = await redrivenAt('job')
      for (const from of times)
        expect(times.filter((at) => at >= from && at < from + 1_000).length).toBeLessThanOrEqual(10)
      expect(times.at(-1)).toBeLessThan(4_500)
      expect(runners.reduce((sum, { redriven }) => sum + redriven(), 0)).toBe(40)
      for (const { runner } of runners) await runner.stop()
      expect(ports.clock.pending).toBe(0)
    }))

  test('keep the rate when one stops and another starts', () =>
    withDead(6, async ({ t, ports, redrives, redrivenAt }) => {
      await redrives.start({}, { id: 'job', perSecond: 2, ...note })
      for (let life = 0; life < 12; life++) {
        const { runner } = runnerOver(t.store.redrives, ports)
        await ports.clock.advance(250)
        await runner.stop()
      }
      expect(await redrivenAt('job')).toEqual([0, 500, 1_000, 1_500, 2_000, 2_500])
    }))

  test('find what another process started within a second, and what was started here when they are told', () =>
    withDead(2, async ({ t, ports, redrives }) => {
      const [first, second] = await t.store.deadLetters({})
      const { runner } = runnerOver(t.store.redrives, ports)
      await ports.clock.advance(1_500)
      await redrives.start([first!], note)
      await ports.clock.advance(500)
      expect(await t.store.deadLetters({})).toMatchObject([{ id: second!.id }])
      await redrives.start([second!], note)
      runner.poke()
      await ports.clock.advance(0)
      expect(await t.store.deadLetters({})).toEqual([])
      await runner.stop()
    }))

  test('that are told while they are at work look again at once', async () => {
    const ports = testPorts()
    let begun = 0
    let finish = (): void => {}
    const step = async (): Promise<{ redriven: number; nextInMs: undefined }> => {
      begun++
      await new Promise<void>((resolve) => (finish = resolve))
      return { redriven: 0, nextInMs: undefined }
    }
    const { runner } = runnerOver({ step } as unknown as RedriveStore, ports)
    await ports.clock.advance(0)
    runner.poke()
    finish()
    await ports.clock.advance(0)
    expect(begun).toBe(1)
    await ports.clock.advance(0)
    expect(begun).toBe(2)
    const stopped = runner.stop()
    finish()
    await stopped
    expect(ports.clock.pending).toBe(0)
  })

  test('try again after a failure, and say so', async () => {
    const warnings: string[] = []
    const ports = testPorts({
      log: { debug() {}, info() {}, error() {}, warn: (_, message) => void warnings.push(message) },
    })
    let failures = 2
    let steps = 0
    const step = async (): Promise<{ redriven: number; nextInMs: undefined }> => {
      if (failures-- > 0) throw new Error('disk full')
      steps++
      return { redriven: 1, nextInMs: undefined }
    }
    const { runner, redriven } = runnerOver({ step } as unknown as RedriveStore, ports)
    await ports.clock.advance(2_000)
    expect({ warnings: warnings.length, steps, redriven: redriven() }).toEqual({
      warnings: 2,
      steps: 1,
      redriven: 1,
    })
    expect(warnings[0]).toContain('disk full')
    await runner.stop()
  })
})
