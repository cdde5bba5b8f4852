import { writeSync } from 'node:fs'
import { type CrashPoint, type Ports, crashPointNames } from '../core/ports.ts'

export const crashVariable = 'WAYBILL_CRASH_AT'

/**
 * Makes the process die at a named point between two durable steps, as if it had lost its power there: SIGKILL, so that no
 * handler, `finally` or buffer gets another chance.
 *
 *   new Waybill({ …, ports: crashPoints() })          // WAYBILL_CRASH_AT=relay.sent-not-marked:3 dies at the third passage
 *
 * Only a program that passes these ports can be made to die: for all others the variable has no effect.
 *
 * @param env where to look for `WAYBILL_CRASH_AT`; without it nothing happens at any point
 * @throws Error for an unknown point, or a passage that is no whole number from 1
 */
export function crashPoints(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Pick<Ports, 'reached'> {
  const wanted = env[crashVariable]
  if (wanted === undefined || wanted === '') return { reached: () => {} }
  const { point, passage } = parse(wanted)
  let passages = 0
  return {
    reached: (reached) => {
      if (reached === point && ++passages === passage) die(`${crashVariable}=${wanted}`)
    },
  }
}

function parse(wanted: string): { readonly point: CrashPoint; readonly passage: number } {
  const [name, count = '1', ...rest] = wanted.split(':')
  const point = crashPointNames.find((known) => known === name)
  if (point === undefined)
    throw new Error(
      `${crashVariable}=${wanted}: there is no crash point ${JSON.stringify(name)}; known are ${crashPointNames.join(', ')}`,
    )
  const passage = Number(count)
  if (rest.length > 0 || !/^\d+$/.test(count) || passage < 1)
    throw new Error(
      `${crashVariable}=${wanted}: after the colon comes which passage to die at, a whole number from 1`,
    )
  return { point, passage }
}

/** Says so, kills, and never returns: between the signal and its delivery not one more statement may run. */
export function die(because: string): never {
  writeSync(process.stderr.fd, `${because}: this process kills itself now\n`)
  process.kill(process.pid, 'SIGKILL')
  return standStill()
}

function standStill(): never {
  const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  for (;;) Atomics.wait(never, 0, 0)
}
