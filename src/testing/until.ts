import { systemClock } from '../system.ts'

const lookEveryMs = 5
/** No test is about how long it takes: it must be enough for a machine that is busy with other things. */
const withinMsDefault = 60_000

/**
 * Waits until a condition holds, by looking again and again: for what another process or the real clock brings about.
 * @returns what the condition answered
 * @throws Error that names the condition if it does not come true within the time (60 s)
 */
export async function until<R>(
  what: string,
  condition: () => R | Promise<R>,
  withinMs: number = withinMsDefault,
): Promise<NonNullable<R>> {
  const deadline = systemClock.monotonic() + withinMs
  for (;;) {
    const answer = await condition()
    if (answer) return answer
    if (systemClock.monotonic() > deadline) throw new Error(`waited ${withinMs} ms in vain until ${what}`)
    await new Promise<void>((resolve) => systemClock.after(lookEveryMs, resolve))
  }
}
