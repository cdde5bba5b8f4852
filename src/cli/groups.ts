import type { Command } from 'commander'
import { type StoredGroup, WaybillError, isWaybillError } from '../index.ts'
import { type Noted, type Shared, noteOf, noted, print, shared } from './command.ts'
import { type AnyWaybill, type Target, targets, withTarget } from './targets.ts'

interface NamedGroup extends StoredGroup {
  readonly database: string
}

/** `waybill groups list | pause | resume | remove` */
export function groupsCommands(program: Command): void {
  const groups = program.command('groups').description('consumer groups: list, pause, resume, remove')
  shared(groups.command('list'))
    .description('the groups of these databases, who runs them and what they have left to do')
    .action(async (options: Shared) => {
      const listed = await listGroups(await targets(options.database))
      print(options, listed, () => listed.map(describe).join('\n') || 'no groups')
    })
  for (const act of ['pause', 'resume'] as const) {
    noted(shared(groups.command(`${act} <group>`)), 'in the audit')
      .description(
        act === 'pause'
          ? 'hold a group in all its instances: nothing is lost or charged, until it is resumed'
          : 'let a paused group go on',
      )
      .action(async (group: string, options: Shared & Noted) => {
        const list = await targets(options.database)
        const changed = await inEach(list, group, (waybill) => waybill.groups[act](group, noteOf(options)))
        const now = (await listGroups(changed)).filter(({ name }) => name === group)
        print(options, now, () => now.map(describe).join('\n'))
      })
  }
  noted(shared(groups.command('remove <group>')), 'in the audit')
    .description('forget a group that no instance runs any more')
    .option('--abandon', 'give its open messages up: without it a group that has some is refused')
    .action(async (group: string, options: Shared & Noted & { readonly abandon?: boolean }) => {
      const list = await consumingFirst(await targets(options.database), group)
      const removed = await inEach(list, group, (waybill) =>
        waybill.groups.remove(group, noteOf(options), { abandon: options.abandon ?? false }),
      )
      const databases = removed.map(({ name }) => name)
      print(options, { removed: group, databases }, () => `removed from ${databases.join(', ')}: ${group}`)
    })
}

async function listGroups(list: readonly Target[]): Promise<readonly NamedGroup[]> {
  const results: NamedGroup[] = []
  for (const target of list) {
    const groups = await withTarget(target, 'check', (waybill) => waybill.groups.list())
    results.push(...groups.map((group) => ({ database: target.name, ...group })))
  }
  return results
}

/** Where it consumes comes first: what is refused there must not be done by halves elsewhere, where it is only registered. */
async function consumingFirst(list: readonly Target[], group: string): Promise<readonly Target[]> {
  const consumes = new Set(
    (await listGroups(list))
      .filter(({ name, topics }) => name === group && topics.length > 0)
      .map(({ database }) => database),
  )
  return list.toSorted((a, b) => Number(consumes.has(b.name)) - Number(consumes.has(a.name)))
}

/**
 * Answers the databases that know the group, in which it was done.
 * @throws WaybillError `group.unknown` where none does, and whatever one of them refuses
 */
async function inEach(
  list: readonly Target[],
  group: string,
  work: (waybill: AnyWaybill) => Promise<unknown>,
): Promise<readonly Target[]> {
  const done: Target[] = []
  for (const target of list) {
    try {
      await withTarget(target, 'check', work)
      done.push(target)
    } catch (error) {
      if (!isWaybillError(error, 'group.unknown')) throw error
    }
  }
  if (done.length > 0) return done
  throw new WaybillError(
    'group.unknown',
    `no consumer group ${group} consumes in ${list.map(({ name }) => name).join(', ')}; waybill groups list shows those that do`,
    { group },
  )
}

function describe(group: NamedGroup): string {
  const { database, name, topics, start, paused, instances, waiting, retrying, held, dead } = group
  if (topics.length === 0) return `${database}  ${name}  registered: it consumes in another database`
  const order = group.ordered ? `  ordered, ${group.onFailure} on failure` : ''
  const reads = topics.map((topic) => (topic.tags === '*' ? topic.name : `${topic.name} (${topic.tags})`))
  const pause = paused && `\n  paused since ${isoOf(paused.at)} by ${paused.by}: ${paused.because}`
  return `${database}  ${name}  ${reads.join(', ')}${order}\n  ${instances === 1 ? '1 instance' : `${instances} instances`}  waiting ${waiting}  retrying ${retrying}  held ${held}  dead ${dead}  subscription ${group.subscriptionVersion} since ${isoOf(group.createdAt)} from ${start}${pause ?? ''}`
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}
