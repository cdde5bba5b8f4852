import { expect, test } from 'vitest'
import { seededRandom, until } from '../src/testing/index.ts'
import { allOnce, books } from './harness/effects.ts'
import { Stage, cleanEnd, orders } from './harness/stage.ts'
import { Supervisor } from './harness/supervisor.ts'
import type { GroupConfig } from './programs/consumer.ts'

/** Another seed is another run: `CHAOS_SEED=7 npx vitest run --project int chaos/random-kills`. */
const seed = Number(process.env['CHAOS_SEED'] ?? 1)
const faultEveryMs = 250
/** Longer than the lease: what goes on then is a zombie. */
const pauseMs = 1_600
const durationMs = Number(process.env['CHAOS_SECONDS'] ?? 20) * 1_000
/** With fewer the run has proved nothing: on a slow machine it goes on until there were so many. */
const leastKills = durationMs / 1_000
/** Each order service places its own; more than the run has time for. */
const perService = 20_000

const services: readonly { service: string; groups: readonly GroupConfig[] }[] = [
  {
    service: 'coupon',
    groups: [
      { group: 'coupon', workMs: 1, issues: true },
      { group: 'points', batch: 20 },
    ],
  },
  {
    service: 'ledger',
    groups: [
      { group: 'ledger', ordered: true, retries: 8 },
      { group: 'receipts', ofIssued: true },
    ],
  },
]

test(`every process is killed, paused and restarted again and again, at random (seed ${seed}): every committed order takes effect once, in order`, async (context) => {
  const stage = new Stage(context)
  const random = seededRandom(seed)
  const like = (n: number): object => ({ failures: n % 17 === 0 ? 1 : 0, declined: n % 10 === 7 })
  const placers = [0, 1].map(
    (i) =>
      new Supervisor(() =>
        stage.order({ orders: orders(i * perService + 1, (i + 1) * perService, like, 25), paceMs: 15 }),
      ),
  )
  const consumers = services.flatMap(({ service, groups }) =>
    [1, 2].map(() => new Supervisor(() => stage.consumer(service, groups))),
  )
  const all = [...placers, ...consumers]

  const began = performance.now()
  const faults = { kill: 0, restart: 0, pause: 0 }
  while (performance.now() - began < durationMs || faults.kill < leastKills) {
    const next = faultEveryMs * (0.5 + random())
    const from = performance.now()
    await until('it is time for the next fault', () => performance.now() - from > next)
    const victim = all[Math.floor(random() * all.length)]!
    const chance = random()
    const fault = chance < 0.75 ? 'kill' : chance < 0.9 ? 'restart' : 'pause'
    if (fault === 'pause') victim.pause(pauseMs)
    else await victim[fault]()
    faults[fault]++
  }
  // From here on nobody is killed any more.
  expect(await Promise.all(placers.map((placer) => placer.rest()))).toEqual([cleanEnd, cleanEnd])
  const relay = stage.order()
  await stage.drained(services.map(({ service }) => service))
  const ends = await Promise.all([...consumers.map((consumer) => consumer.rest()), relay.terminate()])
  expect(new Set(ends.map((end) => JSON.stringify(end)))).toEqual(new Set([JSON.stringify(cleanEnd)]))

  const committed = stage.number('order', 'select count(*) from orders')
  expect(committed).toBeGreaterThan(100)
  // Rolled-back orders leave nothing, neither here nor, as phantoms, in any group.
  expect(stage.number('order', 'select count(*) from orders where n % 10 = 7')).toBe(0)
  for (const { service, groups } of services) {
    for (const { group, ordered = false } of groups)
      expect({ group, ...books(stage, service, group) }).toMatchObject({
        group,
        ...allOnce(committed, ordered),
      })
    expect(
      stage.rows(service, "select distinct state from waybill_v_dispositions where state <> 'done'"),
    ).toEqual([])
  }
  console.log(`seed ${seed}: ${JSON.stringify(faults)}, ${committed} orders`)
})
