#!/usr/bin/env node
import { userInfo } from 'node:os'
import { Command, CommanderError } from 'commander'
import {
  type DeadLetterFilter,
  type ErrorCode,
  type MessageId,
  WaybillError,
  isWaybillError,
} from '../index.ts'
import { actOnDead, describeDead, listDead } from './dead.ts'
import { describeMigrated, migrate, printSql } from './migrate.ts'
import { type Target, targets, withTarget } from './targets.ts'

const exitUsage = 2
const exitFailed = 1

interface Shared {
  readonly database: string[]
  readonly json?: boolean
}

interface DeadOptions extends Shared {
  readonly group?: string
  readonly topic?: string
  readonly key?: string
  readonly id?: string
  readonly cause?: string
  readonly by?: string
  readonly because?: string
  readonly all?: boolean
}

const program = new Command('waybill').description('Look at and tend Waybill databases.').exitOverride()

shared(program.command('migrate'))
  .description("create or update Waybill's tables")
  .option('--print', 'print the SQL instead of running it')
  .action(async (options: Shared & { print?: boolean }) => {
    const list = await targets(options.database)
    if (options.print) process.stdout.write(printSql(list))
    else {
      const migrated = await migrate(list)
      print(options, migrated, () => migrated.map(describeMigrated).join('\n'))
    }
  })

shared(program.command('lag'))
  .description('how far each reader is behind')
  .action(async (options: Shared) => {
    const rows = (
      await eachTarget(options, (target) =>
        withTarget(target, 'check', async (waybill) =>
          (await waybill.lag()).map((row) => ({ database: target.name, ...row })),
        ),
      )
    ).flat()
    print(
      options,
      rows,
      () =>
        rows
          .map(
            (row) =>
              `${row.database}  ${row.reader}  ${row.topic}/${row.queue}  waiting ${row.waiting}  ${row.owner === null ? 'nobody reads it' : `read by ${row.owner}`}`,
          )
          .join('\n') || 'no readers',
    )
  })

shared(program.command('search <keyOrId>'))
  .description('messages by business key or id, with their state in every group')
  .action(async (keyOrId: string, options: Shared) => {
    const query = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(keyOrId)
      ? { id: keyOrId as MessageId }
      : { key: keyOrId }
    const found = (
      await eachTarget(options, (target) =>
        withTarget(target, 'check', async (waybill) =>
          (await waybill.search(query)).map((row) => ({ database: target.name, ...row })),
        ),
      )
    ).flat()
    print(
      options,
      found,
      () =>
        found
          .map(
            (row) =>
              `${row.database}  ${row.id}  ${row.topic}  ${row.key ?? '-'}  ${row.groups.map((group) => `${group.group}: ${group.state}${group.because === null ? '' : ` (${group.because})`}`).join(', ') || 'no group reads it here'}`,
          )
          .join('\n') || 'nothing found',
    )
  })

const dead = program.command('dead').description('dead letters: list, redrive, discard')
deadFilters(shared(dead.command('list')))
  .description('list dead letters, oldest first')
  .action(async (options: DeadOptions) => {
    const letters = await listDead(await targets(options.database), filterOf(options))
    print(options, letters, () => describeDead(letters))
  })
for (const action of ['redrive', 'discard'] as const) {
  deadFilters(shared(dead.command(action)))
    .description(
      action === 'redrive'
        ? 'deliver dead letters again, in the order of their keys'
        : 'give dead letters up for good',
    )
    .option('--all', 'every dead letter of these databases: needed when no filter is given')
    .requiredOption('--because <reason>', 'why; kept in the audit')
    .option('--by <name>', 'who; kept in the audit', userInfo().username)
    .action(async (options: DeadOptions) => {
      const filter = filterOf(options)
      if (Object.keys(filter).length === 0 && !options.all)
        throw new WaybillError(
          'config.invalid',
          `say which dead letters to ${action}: give a filter such as --group, or --all`,
        )
      const count = await actOnDead(await targets(options.database), filter, action, {
        by: options.by!,
        because: options.because!,
      })
      print(
        options,
        { [action]: count },
        () => `${action === 'redrive' ? 'redriven' : 'discarded'}: ${count}`,
      )
    })
}

function shared(command: Command): Command {
  return command
    .option(
      '--database <name=url>',
      'a database, such as order=sqlite:order.db; may be repeated; default: waybill.config.ts',
      (value: string, before: string[]) => [...before, value],
      [] as string[],
    )
    .option('--json', 'print JSON')
}

function deadFilters(command: Command): Command {
  return command
    .option('--group <name>')
    .option('--topic <name>')
    .option('--key <key>', 'business key')
    .option('--id <id>', 'message id')
    .option('--cause <code>', 'such as handler.retries-exhausted')
}

function filterOf({ group, topic, key, id, cause }: DeadOptions): DeadLetterFilter {
  return {
    ...(group === undefined ? {} : { group }),
    ...(topic === undefined ? {} : { topic }),
    ...(key === undefined ? {} : { key }),
    ...(id === undefined ? {} : { id: id as MessageId }),
    ...(cause === undefined ? {} : { cause: cause as ErrorCode }),
  }
}

async function eachTarget<R>(options: Shared, work: (target: Target) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = []
  for (const target of await targets(options.database)) results.push(await work(target))
  return results
}

function print(options: Shared, value: unknown, text: () => string): void {
  process.stdout.write(`${options.json ? JSON.stringify(value) : text()}\n`)
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitUsage
  else {
    process.stderr.write(
      `${isWaybillError(error) ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
    )
    process.exitCode = isWaybillError(error, 'config.invalid') ? exitUsage : exitFailed
  }
}
