import type { Counter, Telemetry } from '../core/telemetry.ts'
import type { QueueLag } from '../core/store.ts'

type Labels = Readonly<Record<string, string>>

interface Series {
  readonly labels: Labels
  total: number
}

/** Counts since the start of this instance, and shows them in Prometheus' text format. */
export class Counters implements Telemetry {
  readonly #counts = new Map<Counter, Map<string, Series>>()

  count(counter: Counter, labels: Labels, by: number): void {
    if (by === 0) return
    let all = this.#counts.get(counter)
    if (!all) this.#counts.set(counter, (all = new Map()))
    // No two series of a counter have the same values under other names. NUL is in no label.
    const key = Object.values(labels).join('\u0000')
    const series = all.get(key)
    if (series) series.total += by
    else all.set(key, { labels, total: by })
  }

  render(lag: readonly QueueLag[]): string {
    const lines: string[] = []
    for (const [counter, all] of this.#counts) {
      lines.push(`# TYPE waybill_${counter}_total counter`)
      for (const { labels, total } of all.values())
        lines.push(`waybill_${counter}_total${labelText(labels)} ${total}`)
    }
    lines.push('# TYPE waybill_waiting_messages gauge')
    for (const { reader, topic, queue, waiting } of lag)
      lines.push(`waybill_waiting_messages${labelText({ reader, topic, queue: String(queue) })} ${waiting}`)
    return `${lines.join('\n')}\n`
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(value: string): string {
  if (!/[\\"\n]/.test(value)) return value
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
