import type { Tally } from './tally.ts'

export interface Draft {
  readonly key: string
  readonly n: number
}

/** A database under proof. */
export interface Subject {
  /** Whether a transaction can stay open while others commit. */
  readonly holds: boolean
  /**
   * One transaction with these messages, held, saved, prepared or rolled back as chance wants. Answers the ids once the commit was
   * heard of; undefined after a roll-back. With `meanwhile` it certainly commits, after that.
   */
  publish(
    drafts: readonly Draft[],
    random: () => number,
    meanwhile?: () => Promise<void>,
  ): Promise<readonly string[] | undefined>
  /** Waybill's own reader, replaced again and again, until the signal. */
  read(tally: Tally, signal: AbortSignal): Promise<void>
  /** The control: whoever polls for ids above the last one. */
  readNaively(tally: Tally, signal: AbortSignal): Promise<void>
  /** Resolves once nothing new has been read for long enough, or everything has been. */
  settled(tally: Tally): Promise<void>
  dispose(): Promise<void>
}

export async function openSubject(url: string): Promise<Subject> {
  if (/^postgres(ql)?:/.test(url)) return (await import('./postgres.ts')).openPostgresSubject(url)
  if (url.startsWith('mysql:')) return (await import('./mysql.ts')).openMysqlSubject(url)
  if (url.startsWith('sqlite:'))
    return (await import('./sqlite.ts')).openSqliteSubject(url.slice('sqlite:'.length))
  throw new Error(`no proof for ${url}`)
}
