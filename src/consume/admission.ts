import type { DependencyGate } from '../core/dependencies.ts'
import type { HeldQueue } from '../core/log-reading.ts'

/** Runs the work once the group's dependencies let it begin. Answers false, without having run it, if the queue is to be left first. */
export async function admitted(
  dependencies: DependencyGate | undefined,
  held: HeldQueue,
  work: () => Promise<void>,
): Promise<boolean> {
  const leave = dependencies && (await dependencies.enter(held.draining))
  if (dependencies && !leave) return false
  try {
    await work()
  } finally {
    leave?.()
  }
  return true
}
