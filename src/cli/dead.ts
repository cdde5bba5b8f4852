import type { Command } from 'commander'
import {
  type AuditNote,
  type DeadLetter,
  type DeadLetterFilter,
  type ErrorCode,
  type MessageId,
  WaybillError,
} from '../index.ts'
import { type Noted, type Shared, noteOf, noted, print, shared } from './command.ts'
import { type Target, targets, withTarget } from './targets.ts'

interface NamedDeadLetter extends DeadLetter {
  readonly database: string
}

/** Which dead letters. */
export interface DeadFilters {
  readonly group?: string
  readonly topic?: string
  readonly key?: string
  readonly id?: string
  readonly cause?: string
  readonly dependency?: string
}

interface DeadOptions extends Shared, DeadFilters {
  readonly all?: boolean
}

const atOnceMax = 1_000

/** `waybill dead list | redrive | discard` */
export function deadCommands(program: Command): void {
  const dead = program.command('dead').description('dead letters: list, redrive, discard')
  deadFilters(shared(dead.command('list')))
    .description('list dead letters, oldest first')
    .action(async (options: DeadOptions) => {
      const letters = await listDead(await targets(options.database), filterOf(options))
      print(options, letters, () => describeDead(letters))
    })
  for (const action of ['redrive', 'discard'] as const) {
    allOfThem(noted(deadFilters(shared(dead.command(action))), 'in the audit'))
      .description(
        action === 'redrive'
          ? 'deliver dead letters again, in the order of their keys'
          : 'give dead letters up for good',
      )
      .action(async (options: DeadOptions & Noted) => {
        const filter = meantFilterOf(options, action)
        const count = await actOnDead(await targets(options.database), filter, action, noteOf(options))
        print(
          options,
          { [action]: count },
          () => `${action === 'redrive' ? 'redriven' : 'discarded'}: ${count}`,
        )
      })
  }
}

async function listDead(
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
async function actOnDead(
  list: readonly Target[],
  filter: DeadLetterFilter,
  action: 'redrive' | 'discard',
  note: AuditNote,
): Promise<number> {
  let count = 0
  for (const target of list) {
    count += await withTarget(target, 'check', async (waybill) => {
      const selection = await waybill.deadLetters.list({ limit: atOnceMax, ...filter })
      return action === 'redrive'
        ? waybill.deadLetters.redrive(selection, note)
        : waybill.deadLetters.discard(selection, note)
    })
  }
  return count
}

function describeDead(letters: readonly NamedDeadLetter[]): string {
  if (letters.length === 0) return 'no dead letters'
  return letters
    .map(
      (letter) =>
        `${new Date(letter.diedAt).toISOString()}  ${letter.database}  ${letter.group}  ${letter.topic}  ${letter.key ?? '-'}  ${letter.id}\n  ${letter.cause} after ${letter.attempts} deliveries: ${letter.because}`,
    )
    .join('\n')
}

export function deadFilters(command: Command): Command {
  return command
    .option('--group <name>')
    .option('--topic <name>')
    .option('--key <key>', 'business key')
    .option('--id <id>', 'message id')
    .option('--cause <code>', 'such as handler.retries-exhausted')
    .option('--dependency <name>', 'what their last failure was charged to')
}

export function allOfThem(command: Command): Command {
  return command.option('--all', 'every dead letter of these databases: needed when no filter is given')
}

/** @throws WaybillError `config.invalid` where no filter is given and `--all` is not either */
export function meantFilterOf(
  options: DeadFilters & { readonly all?: boolean },
  action: 'redrive' | 'discard',
): DeadLetterFilter {
  const filter = filterOf(options)
  if (Object.keys(filter).length > 0 || options.all) return filter
  throw new WaybillError(
    'config.invalid',
    `say which dead letters to ${action}: give a filter such as --group, or --all`,
  )
}

function filterOf({ group, topic, key, id, cause, dependency }: DeadFilters): DeadLetterFilter {
  return {
    ...(group === undefined ? {} : { group }),
    ...(topic === undefined ? {} : { topic }),
    ...(key === undefined ? {} : { key }),
    ...(id === undefined ? {} : { id: id as MessageId }),
    ...(cause === undefined ? {} : { cause: cause as ErrorCode }),
    ...(dependency === undefined ? {} : { dependency }),
  }
}
