import { expect, test } from 'vitest'
import { seededRandom, until } from '../src/testing/index.ts'
import { allOnce, books } from './harness/effects.ts'
import type { Running } from './harness/running.ts'
import { Stage, cleanEnd, orders } from './harness/stage.ts'
import { Supervisor } from './harness/supervisor.ts'

/** Another seed is another run: `CHAOS_SEED=7 npx vitest run --project int chaos/order`. */
const seed = Number(process.env['CHAOS_SEED'] ?? 1)
const durationMs = Number(process.env['CHAOS_SECONDS'] ?? 15) * 1_000
/** With fewer the run has proved nothing: on a slow machine it goes on until there were so many. */
const leastKills = durationMs / 1_000
const leastRedriven = 4
const faultEveryMs = 250
const redriveEveryMs = 400
/** Longer than the lease: what goes on then is a zombie. */
const pauseMs = 1_600
/** Each order service places its own; more than the run has time for. */
const perService = 20_000
const accounts = 12
const groups = [{ group: 'ledger', ordered: true, retries: 2 }]

/** Some heads are tried again and then done; some die, once or more often, and are redriven. */
const like = (n: number): object => ({
  failures: n % 13 === 0 ? 2 : 0,
  ...(n % 29 === 0 ? { sickFor: n % 2 === 0 ? 4 : 7 } : {}),
})

const countDead = 'select count(*) from waybill_v_dead_letters'
const countRedriven = "select count(*) from waybill_audit where action = 'redrive'"

test(`P18 to P21: every key's effects are in the order of its publishes, through retries, dead heads that are redriven while others publish, restarts, hand-overs, pauses and kills (seed ${seed})`, async (context) => {
  const stage = new Stage(context)
  const random = seededRandom(seed)
  const placers = [0, 1].map(
    (i) =>
      new Supervisor(() =>
        stage.order({ orders: orders(i * perService + 1, (i + 1) * perService, like, accounts), paceMs: 15 }),
      ),
  )
  const consumers = [1, 2, 3].map(() => new Supervisor(() => stage.consumer('coupon', groups)))

  const faults = { kill: 0, restart: 0, pause: 0 }
  const began = performance.now()
  const elapsed = (): number => performance.now() - began
  let [faultAt, redriveAt] = [faultEveryMs, redriveEveryMs]
  const redriven = (): number => stage.number('coupon', countRedriven)
  while (elapsed() < durationMs || faults.kill < leastKills || redriven() < leastRedriven) {
    await until('it is time for the next fault or redrive', () => elapsed() > Math.min(faultAt, redriveAt))
    if (elapsed() > redriveAt) {
      redriveAt = elapsed() + redriveEveryMs
      redrive(consumers[Math.floor(random() * consumers.length)]!.current)
      continue
    }
    faultAt = elapsed() + faultEveryMs * (0.5 + random())
    const all = random() < 0.25 ? placers : consumers
    const victim = all[Math.floor(random() * all.length)]!
    const chance = random()
    const fault = chance < 0.65 ? 'kill' : chance < 0.9 ? 'restart' : 'pause'
    if (fault === 'pause') victim.pause(pauseMs)
    else await victim[fault]()
    faults[fault]++
  }
  const redrivenMeanwhile = redriven()

  // From here on nobody is killed any more.
  expect(await Promise.all(placers.map((placer) => placer.rest()))).toEqual([cleanEnd, cleanEnd])
  const relay = stage.order()
  await redrivenToTheEnd(stage, consumers[0]!)
  const ends = await Promise.all([...consumers.map((consumer) => consumer.rest()), relay.terminate()])
  expect(new Set(ends.map((end) => JSON.stringify(end)))).toEqual(new Set([JSON.stringify(cleanEnd)]))

  const committed = stage.number('order', 'select count(*) from orders')
  expect(books(stage, 'coupon', 'ledger')).toEqual({ ...allOnce(committed, true) })
  expect(
    stage.rows('coupon', "select distinct state from waybill_v_dispositions where state <> 'done'"),
  ).toEqual([])
  // Or the test would have proved nothing.
  expect(committed).toBeGreaterThan(100)
  console.log(`seed ${seed}: ${JSON.stringify({ ...faults, redrivenMeanwhile, committed })}`)
})

function redrive(consumer: Running): void {
  consumer.tell({ type: 'redrive', group: 'ledger' })
}

/** A dead head hides the next one of its key, so this takes several rounds. */
async function redrivenToTheEnd(stage: Stage, consumer: Supervisor): Promise<void> {
  await until(
    'nothing is dead any more',
    async () => {
      await stage.drained(['coupon'], 60_000)
      if (stage.number('coupon', countDead) === 0) return true
      await consumer.current.says('ready')
      redrive(consumer.current)
      return false
    },
    180_000,
  )
}
