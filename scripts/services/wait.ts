import { setTimeout as delay } from 'node:timers/promises'

const lookEveryMs = 10

/**
 * Waits until a condition holds, by looking again and again. Unlike the `until` of `waybill/testing`, whose timers let a
 * process end, this one keeps it alive: a command has nothing else that does while it waits for a server.
 * @returns false if the condition does not come true within the time
 */
export async function comesTrue(
  condition: () => boolean | Promise<boolean>,
  withinMs: number,
): Promise<boolean> {
  const deadline = performance.now() + withinMs
  while (!(await condition())) {
    if (performance.now() > deadline) return false
    await delay(lookEveryMs)
  }
  return true
}
