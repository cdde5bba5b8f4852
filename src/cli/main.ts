#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { type MessageId, isWaybillError } from '../index.ts'
import { type Shared, eachTarget, print, shared } from './command.ts'
import { deadCommands } from './dead.ts'
import { dependenciesCommand } from './dependencies.ts'
import { groupsCommands } from './groups.ts'
import { halfCommands } from './half.ts'
import { ledgerCommand } from './ledger.ts'
import { describeMigrated, migrate, printSql } from './migrate.ts'
import { redrivesCommands } from './redrives.ts'
import { targets, withTarget } from './targets.ts'
import { traceCommand } from './trace.ts'

const exitUsage = 2
const exitFailed = 1

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

deadCommands(program)
redrivesCommands(program)
groupsCommands(program)
halfCommands(program)
dependenciesCommand(program)
traceCommand(program)
ledgerCommand(program)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitUsage
  else {
    process.stderr.write(
      `${isWaybillError(error) ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
    )
    process.exitCode = isWaybillError(error, 'config.invalid', 'duration.invalid') ? exitUsage : exitFailed
  }
}
