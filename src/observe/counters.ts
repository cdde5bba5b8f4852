import type { Counter, Telemetry } from '../core/telemetry.ts'
import type { QueueLag } from '../core/store.ts'

/** Counts since the start of this instance, and shows them in Prometheus' text format. */
export class Counters implements Telemetry {
  readonly #counts = new Map<Counter, Map<string, number>>()

  count(counter: Counter, labels: Readonly<Record<string, string>>, by: number): void {
    if (by === 0) return
    let series = this.#counts.get(counter)
    if (!series) this.#counts.set(counter, (series = new Map()))
    const key = labelText(labels)
    series.set(key, (series.get(key) ?? 0) + by)
  }

  render(lag: readonly QueueLag[]): string {
    const lines: string[] = []
    for (const [counter, series] of this.#counts) {
      lines.push(`# TYPE waybill_${counter}_total counter`)
      for (const [labels, value] of series) lines.push(`waybill_${counter}_total${labels} ${value}`)
    }
    lines.push('# TYPE waybill_waiting_messages gauge')
    for (const { reader, topic, queue, waiting } of lag)
      lines.push(`waybill_waiting_messages${labelText({ reader, topic, queue: String(queue) })} ${waiting}`)
    return `${lines.join('\n')}\n`
  }
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(value: string): string {
  if (!/[\\"\n]/.test(value)) return value
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
