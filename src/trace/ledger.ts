import { type BookOffender, type BookOpening, type BookPage, type BookStore } from '../core/books.ts'
import { type Duration, milliseconds } from '../core/duration.ts'
import type { State } from '../core/state.ts'
import { type Delivery, deliveriesOf } from './deliveries.ts'
import { type Named, ask } from './sources.ts'

/** A database whose books can be read: a `Waybill`, or anything that answers its store's books. */
export interface BookSource {
  books(): Promise<BookStore>
}

/** Whether every accepted message is in exactly one state, and whether what was sent has arrived (P30). */
export interface Ledger {
  /** Every database could be read, every line is in balance, and nothing is missing. */
  readonly balanced: boolean
  readonly databases: readonly LedgerDatabase[]
  readonly lines: readonly LedgerLine[]
  readonly deliveries: readonly Delivery[]
}

export interface LedgerDatabase {
  readonly database: string
  /** Why it could not be read; null where it could. Then nothing is said of it. */
  readonly noData: string | null
  /** The position up to which the books were read: what came later is not in them. */
  readonly watermark: number | null
  readonly keptSince: number | null
}

/** One topic in one group; `@relay` is what this database has to send, and null what has not entered its log or never will. */
export interface LedgerLine {
  readonly database: string
  readonly topic: string
  readonly group: string | null
  readonly accepted: number
  readonly states: Readonly<Partial<Record<State, number>>>
  /** Passed by the group, and in no state. */
  readonly unaccounted: number
  /** To be delivered, and their bodies are gone. They are in `states` too. */
  readonly bodiesLost: number
  /** The first of them. */
  readonly offenders: readonly BookOffender[]
}

export interface LedgerOptions {
  /** How long after it was sent a message that has landed nowhere is missing, and not in transit. Default '1m'. */
  readonly overdueAfter?: Duration
  /** How many offenders are named in each line. All are counted. Default 1000. */
  readonly limit?: number
  /** Awaited between portions, so that a process that has other work can do it meanwhile. */
  readonly breathe?: () => Promise<void>
}

export interface OpenBooks {
  readonly database: string
  readonly store: BookStore
  readonly opening: BookOpening
}

const limitDefault = 1_000

/**
 * Balances the books of each database, and between them: what one has sent must lie in every other whose groups take it.
 * Reads in short portions up to a watermark, while everything goes on: see `BookStore` for why that is sound.
 * @throws WaybillError `duration.invalid`
 */
export async function ledger(sources: Named<BookSource>, options: LedgerOptions = {}): Promise<Ledger> {
  const overdueMs = milliseconds(options.overdueAfter ?? '1m')
  const limit = options.limit ?? limitDefault
  const breathe = options.breathe ?? (async () => {})
  const answers = await ask(sources, async (source) => {
    const store = await source.books()
    return { store, opening: await store.open() }
  })
  const lines: LedgerLine[] = []
  const failed = new Map<string, string>()
  const open: OpenBooks[] = []
  for (const { database, value } of answers) {
    if (!value) continue
    const own = await ask([[database, value]], () => linesOf({ database, ...value }, limit, breathe))
    const [answer] = own
    if (answer!.value) lines.push(...answer!.value)
    else failed.set(database, answer!.because)
    if (answer!.value) open.push({ database, ...value })
  }
  const deliveries = await deliveriesOf(open, { overdueMs, limit, breathe })
  const databases = answers.map((answer): LedgerDatabase => ({
    database: answer.database,
    noData: answer.value ? (failed.get(answer.database) ?? null) : answer.because,
    watermark: answer.value?.opening.watermark ?? null,
    keptSince: answer.value?.opening.keptSince ?? null,
  }))
  const balanced =
    databases.every(({ noData }) => noData === null) &&
    lines.every(({ unaccounted, bodiesLost }) => unaccounted + bodiesLost === 0) &&
    deliveries.every(({ missing, failed: because }) => missing === 0 && because === null)
  return { balanced, databases, lines, deliveries }
}

async function linesOf(
  { database, store, opening }: OpenBooks,
  limit: number,
  breathe: () => Promise<void>,
): Promise<readonly LedgerLine[]> {
  const outside = new Lines(database, null, limit)
  outside.add({ counts: opening.outside, offenders: [], next: undefined })
  const lines = [...outside.list()]
  for (const { name, topics } of opening.readers) {
    const own = new Lines(database, name, limit, topics)
    for (let after: string | undefined = ''; after !== undefined; await breathe()) {
      const page: BookPage = await store.count(name, opening.watermark, after)
      own.add(page)
      after = page.next
    }
    lines.push(...own.list())
  }
  return lines
}

interface Sums {
  readonly states: Partial<Record<State, number>>
  unaccounted: number
  bodiesLost: number
  readonly offenders: BookOffender[]
}

/** The lines of one reader, a line per topic, as its portions come in. */
class Lines {
  readonly #database: string
  readonly #group: string | null
  readonly #limit: number
  readonly #topics = new Map<string, Sums>()

  constructor(database: string, group: string | null, limit: number, topics: readonly string[] = []) {
    this.#database = database
    this.#group = group
    this.#limit = limit
    for (const topic of topics) this.#of(topic)
  }

  add({ counts, offenders }: BookPage): void {
    for (const { topic, state, count } of counts) {
      const { states } = this.#of(topic)
      states[state] = (states[state] ?? 0) + count
    }
    for (const offender of offenders) {
      const sums = this.#of(offender.topic)
      if (offender.fault === 'unaccounted') sums.unaccounted++
      else sums.bodiesLost++
      if (sums.offenders.length < this.#limit) sums.offenders.push(offender)
    }
  }

  list(): readonly LedgerLine[] {
    return [...this.#topics].toSorted(byName).map(([topic, sums]) => ({
      database: this.#database,
      topic,
      group: this.#group,
      accepted: sums.unaccounted + Object.values(sums.states).reduce((sum, count) => sum + count, 0),
      ...sums,
    }))
  }

  #of(topic: string): Sums {
    const known = this.#topics.get(topic) ?? { states: {}, unaccounted: 0, bodiesLost: 0, offenders: [] }
    this.#topics.set(topic, known)
    return known
  }
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0
}
