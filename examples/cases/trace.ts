import { type FactSource, type BookSource, type Hop, Waybill, trace } from 'waybill'
import { sqlite } from 'waybill/sqlite'
import { until } from 'waybill/testing'

/** Files of databases, by the names that they are shown with. */
export type DatabaseFiles = Readonly<Record<string, string>>
type Source = FactSource & BookSource

/** Opens databases to be looked into, as the command line does, while their services run or not. */
export async function withSources<R>(
  files: DatabaseFiles,
  work: (sources: Readonly<Record<string, Source>>) => Promise<R>,
): Promise<R> {
  const opened = Object.entries(files).map(([name, file]) => {
    const database = sqlite(file)
    return [name, new Waybill({ service: 'witness', database, migrate: 'check' })] as const
  })
  try {
    return await work(Object.fromEntries(opened))
  } finally {
    for (const [, waybill] of opened) await waybill.stop()
  }
}

const marks = { seen: '✓', 'not seen': '✗', 'no data': '?' } as const

const settledWithinMs = 30_000

/**
 * The journey of the newest message with this key, and the verdict in both languages. Waits while that is that it was sent a moment ago,
 * which it says of every message at first.
 */
export async function describeTrace(files: DatabaseFiles, key: string): Promise<readonly string[]> {
  const { journeys, verdicts } = await withSources(files, (sources) =>
    until(
      `${key} is on its way no longer`,
      async () => {
        const found = await trace(sources, key)
        return found.verdicts.some(({ code }) => code === 'in-transit') ? undefined : found
      },
      settledWithinMs,
    ),
  )
  const [journey] = journeys
  const own = verdicts.filter(({ id }) => id === (journey?.id ?? null))
  return [
    `waybill trace ${key}`,
    ...(journey?.hops.map((hop) => `  ${describeHop(hop)}`) ?? []),
    ...own.flatMap(({ sentence, code }) => [`  → ${sentence.en} [${code}]`, `  → ${sentence.zh}`]),
  ]
}

function describeHop({ hop, sight, group, database, evidence }: Hop): string {
  const where = [group, database].filter((part) => part !== null).join(' in ')
  return `${marks[sight]} ${hop.padEnd(10)} ${where.padEnd(24)} ${evidence}`
}
