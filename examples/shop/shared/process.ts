/** How every process of the shop talks to whoever started it, if anybody did: services also run alone from a shell. */

/** Tells the controller that the process is up; in a shell, the person. */
export function reportReady(facts: Record<string, unknown> = {}): void {
  if (process.send) process.send({ kind: 'ready', ...facts })
  else console.log('ready', facts)
}

/** Runs `stop` once at SIGTERM or SIGINT, or when the controller is gone: a killed controller leaves no orphans. */
export function stopWhenAsked(stop: () => Promise<void>): void {
  let isStopping = false
  const once = async (): Promise<void> => {
    if (isStopping) return
    isStopping = true
    try {
      await stop()
      process.exit(0)
    } catch (error) {
      console.error(error)
      process.exit(1)
    }
  }
  process.once('SIGTERM', () => void once())
  process.once('SIGINT', () => void once())
  process.once('disconnect', () => process.exit(0))
}
