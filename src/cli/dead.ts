import type { AuditNote, DeadLetter, DeadLetterFilter } from '../index.ts'
import { type Target, withTarget } from './targets.ts'

export interface NamedDeadLetter extends DeadLetter {
  readonly database: string
}

const allOfThem = 1_000

export async function listDead(
  list: readonly Target[],
  filter: DeadLetterFilter,
): Promise<readonly NamedDeadLetter[]> {
  const results: NamedDeadLetter[] = []
  for (const target of list) {
    const dead = await withTarget(target, 'check', (waybill) => waybill.deadLetters.list(filter))
    results.push(...dead.map((letter) => ({ database: target.name, ...letter })))
  }
  return results
}

/** Redrives or discards what the filter selects now: what dies later is not touched. Answers how many. */
export async function actOnDead(
  list: readonly Target[],
  filter: DeadLetterFilter,
  action: 'redrive' | 'discard',
  note: AuditNote,
): Promise<number> {
  let count = 0
  for (const target of list) {
    count += await withTarget(target, 'check', async (waybill) => {
      const selection = await waybill.deadLetters.list({ limit: allOfThem, ...filter })
      return action === 'redrive'
        ? waybill.deadLetters.redrive(selection, note)
        : waybill.deadLetters.discard(selection, note)
    })
  }
  return count
}

export function describeDead(letters: readonly NamedDeadLetter[]): string {
  if (letters.length === 0) return 'no dead letters'
  return letters
    .map(
      (letter) =>
        `${new Date(letter.diedAt).toISOString()}  ${letter.database}  ${letter.group}  ${letter.topic}  ${letter.key ?? '-'}  ${letter.id}\n  ${letter.cause} after ${letter.attempts} deliveries: ${letter.because}`,
    )
    .join('\n')
}
