/** Time, as a port: the simulator and tests own it. Only the system implementation touches the real one. */
export interface Clock {
  /** Milliseconds since 1970, may step. Leases on SQLite use it: one machine, one clock (P16). */
  now(): number
  /** Milliseconds that only grow, for measuring lengths of time. */
  monotonic(): number
  /** Runs once after the delay. The answer cancels it. Never keeps a process alive. */
  after(delayMs: number, run: () => void): () => void
  /** Runs once the current event-loop turn is over and all settled promises have been handled. The answer cancels it. */
  afterTurn(run: () => void): () => void
}
