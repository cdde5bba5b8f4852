/** Milliseconds on the machine's monotonic clock: comparable between processes of one machine, and never set back. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

export function secondsSince(startMs: number): number {
  return (nowMs() - startMs) / 1000
}
