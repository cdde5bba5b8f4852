/** Counters and timings that `waybill.metrics()` shows. Names are listed in docs/reference/metrics.md. */
export const counters = [
  'published',
  'deduplicated',
  'relayed',
  'landed',
  'suppressed',
  'handled',
  'retried',
  'held',
  'dead_lettered',
  'discarded',
  'filtered',
  'lease_lost',
] as const
export type Counter = (typeof counters)[number]

export interface Telemetry {
  count(counter: Counter, labels: Readonly<Record<string, string>>, by: number): void
}

export const noTelemetry: Telemetry = { count() {} }
