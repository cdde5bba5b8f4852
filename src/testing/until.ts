import { systemClock } from '../system.ts'

const lookEveryMs = 5
/** No test is about how long it takes: it must be enough for a machine that is busy with other things. */
const withinMsDefault = 60_000
/** For the answer to a look that began in time. */
const graceMs = 10_000

/**
 * Waits until a condition holds, by looking again and again: for what another process or the real clock brings about.
 * @returns what the condition answered
 * @throws Error that names the condition if it does not come true within the time (60 s), or if a look at it is not answered
 */
export async function until<R>(
  what: string,
  condition: () => R | Promise<R>,
  withinMs: number = withinMsDefault,
): Promise<NonNullable<R>> {
  const deadline = systemClock.monotonic() + withinMs
  for (;;) {
    const answer = await answered(what, condition, deadline)
    if (answer) return answer
    if (systemClock.monotonic() > deadline) throw new Error(`waited ${withinMs} ms in vain until ${what}`)
    await new Promise<void>((resolve) => systemClock.after(lookEveryMs, resolve))
  }
}

/** A look that stands still would otherwise be told by nobody. */
async function answered<R>(what: string, condition: () => R | Promise<R>, deadline: number): Promise<R> {
  const unanswered = Promise.withResolvers<never>()
  const cancel = systemClock.after(Math.max(0, deadline - systemClock.monotonic()) + graceMs, () =>
    unanswered.reject(new Error(`looking whether ${what} was not answered`)),
  )
  try {
    return await Promise.race([condition(), unanswered.promise])
  } finally {
    cancel()
  }
}
