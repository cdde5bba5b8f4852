import { type Command, Option } from 'commander'
import {
  type AuditNote,
  type Decision,
  type HalfFilter,
  type HalfState,
  type MessageId,
  type StoredHalf,
  WaybillError,
  halfStates,
} from '../index.ts'
import { type Noted, type Shared, noteOf, noted, print, shared } from './command.ts'
import { type Target, targets, withTarget } from './targets.ts'

/** A half message without its body, which may be large and is nobody's business in a list. */
export interface NamedHalf extends Omit<StoredHalf, 'body'> {
  readonly database: string
}

/** The same with its body: JSON text, or bytes in base64. */
export interface ShownHalf extends NamedHalf {
  readonly body: string
  readonly encoding: 'json' | 'base64'
}

interface ListOptions extends Shared {
  readonly topic?: string
  readonly key?: string
  readonly id?: string
  readonly state?: HalfState
}

/** `waybill half list | show | commit | rollback` */
export function halfCommands(program: Command): void {
  const half = program.command('half').description('half messages: list, show, commit, roll back')
  shared(half.command('list'))
    .description('list half messages that are not decided, oldest first')
    .option('--topic <name>')
    .option('--key <key>', 'business key')
    .option('--id <id>', 'message id')
    .addOption(
      new Option('--state <state>', 'only these; without it: prepared and in-doubt').choices(halfStates),
    )
    .action(async (options: ListOptions) => {
      const halves = await listHalves(await targets(options.database), filterOf(options))
      print(options, halves, () => halves.map(describeHalf).join('\n') || 'no half messages')
    })
  shared(half.command('show <id>'))
    .description('one half message in whatever state, with its body')
    .action(async (id: string, options: Shared) => {
      const { target, stored } = await find(await targets(options.database), id)
      const shown = withBody(target, stored)
      print(options, shown, () => `${describeHalf(shown)}\n  ${shown.encoding}: ${shown.body}`)
    })
  for (const decision of ['commit', 'rollback'] as const) {
    noted(shared(half.command(`${decision} <id>`)), 'with the decision')
      .description(
        decision === 'commit'
          ? 'decide that it is delivered: final'
          : 'decide that it is never delivered: final',
      )
      .action(async (id: string, options: Shared & Noted) => {
        const decided = await decideHalf(await targets(options.database), id, decision, noteOf(options))
        print(options, decided, () => describeHalf(decided))
      })
  }
}

async function listHalves(list: readonly Target[], filter: HalfFilter): Promise<readonly NamedHalf[]> {
  const results: NamedHalf[] = []
  for (const target of list) {
    const halves = await withTarget(target, 'check', (waybill) => waybill.halves.list(filter))
    results.push(...halves.map((stored) => withoutBody(target, stored)))
  }
  return results
}

/** @throws WaybillError `half.unknown`, and `half.already-decided` whoever decided it and however */
async function decideHalf(
  list: readonly Target[],
  id: string,
  decision: Decision,
  note: AuditNote,
): Promise<NamedHalf> {
  const { target, stored } = await find(list, id)
  if (stored.decidedAt !== null) {
    throw new WaybillError(
      'half.already-decided',
      `half message ${id} was ${stored.state} by ${stored.decidedBy} at ${isoOf(stored.decidedAt)}${stored.because === null ? '' : ` (${stored.because})`}; a decision is final`,
      { id, winner: stored.state, by: stored.decidedBy, at: stored.decidedAt },
    )
  }
  await withTarget(target, 'check', (waybill) => waybill.halves.decide(stored.id, decision, note))
  return withoutBody(target, (await find([target], id)).stored)
}

/** @throws WaybillError `half.unknown` where none of the databases has it */
async function find(
  list: readonly Target[],
  id: string,
): Promise<{ readonly target: Target; readonly stored: StoredHalf }> {
  for (const target of list) {
    const [stored] = await withTarget(target, 'check', (waybill) =>
      waybill.halves.list({ id: id as MessageId, states: halfStates }),
    )
    if (stored) return { target, stored }
  }
  throw new WaybillError(
    'half.unknown',
    `there is no half message ${id} in ${list.map(({ name }) => name).join(', ')}; decided ones are dropped after the retention`,
    { id },
  )
}

function filterOf({ topic, key, id, state }: ListOptions): HalfFilter {
  return {
    ...(topic === undefined ? {} : { topic }),
    ...(key === undefined ? {} : { key }),
    ...(id === undefined ? {} : { id: id as MessageId }),
    ...(state === undefined ? {} : { states: [state] }),
  }
}

function withoutBody(target: Target, { body: _body, ...rest }: StoredHalf): NamedHalf {
  return { database: target.name, ...rest }
}

function withBody(target: Target, stored: StoredHalf): ShownHalf {
  const { body } = stored
  const isText = typeof body === 'string'
  return {
    ...withoutBody(target, stored),
    body: isText ? body : Buffer.from(body).toString('base64'),
    encoding: isText ? 'json' : 'base64',
  }
}

function describeHalf(half: NamedHalf): string {
  const decided =
    half.decidedAt === null ? '' : ` by ${half.decidedBy ?? 'nobody known'} at ${isoOf(half.decidedAt)}`
  return `${isoOf(half.publishedAt)}  ${half.database}  ${half.topic}  ${half.key ?? '-'}  ${half.id}\n  ${half.state}${decided} after ${half.checks} checks and ${half.failures} that failed${half.because === null ? '' : `: ${half.because}`}`
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}
