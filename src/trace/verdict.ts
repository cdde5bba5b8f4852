import type { MessageId } from '../core/ids.ts'
import type { HopName } from './journey.ts'
import type { Copy } from './places.ts'
import { timeOf } from './reasons.ts'
import { type Both, type Filling, type VerdictCode, fill, sentences } from './sentences.ts'

/** The one-sentence answer to "where is it?", for one message or, with `group`, for one group of it. */
export interface Verdict {
  readonly code: VerdictCode
  readonly sentence: Both
  /** What to do about it. */
  readonly next: Both
  /** The link it stopped at; null where it arrived. */
  readonly stoppedAt: HopName | null
  readonly group: string | null
  /** Null where no message was found. */
  readonly id: MessageId | null
  /** The rows that it follows from. */
  readonly evidence: readonly Evidence[]
}

export interface Evidence {
  /** Null where the database is not among those asked. */
  readonly database: string | null
  /** The table, or what was done to find out. */
  readonly from: string
  readonly fact: string
}

export interface VerdictParts {
  readonly code: VerdictCode
  readonly stoppedAt: HopName | null
  readonly id: MessageId | null
  readonly group?: string
  readonly filling?: Filling
  readonly evidence: readonly Evidence[]
}

export function verdict({ code, stoppedAt, id, group, filling = {}, evidence }: VerdictParts): Verdict {
  const words = sentences[code]
  const all: Filling = {
    ...(id === null ? {} : { id }),
    ...(group === undefined ? {} : { group }),
    ...filling,
  }
  return {
    code,
    sentence: fill(words.sentence, all),
    next: fill(words.next, all),
    stoppedAt,
    group: group ?? null,
    id,
    evidence,
  }
}

/** That it was published, and where it lies. */
export function publishedEvidence({ database, message }: Copy): Evidence {
  const tables = {
    log: 'waybill_messages',
    copy: 'waybill_copies',
    delayed: 'waybill_delayed',
    half: 'waybill_halves',
    ended: 'waybill_ended',
  } as const
  return {
    database,
    from: tables[message.place],
    fact: `published by ${message.service} at ${timeOf(message.publishedAt)}`,
  }
}
