import { userInfo } from 'node:os'
import type { Command } from 'commander'
import type { AuditNote } from '../index.ts'
import { type Target, targets } from './targets.ts'

/** What every command takes. */
export interface Shared {
  readonly database: string[]
  readonly json?: boolean
}

/** What every act of an operator takes. */
export interface Noted {
  readonly by: string
  readonly because: string
}

export function shared(command: Command): Command {
  return command
    .option(
      '--database <name=url>',
      'a database, such as order=sqlite:order.db; may be repeated; default: waybill.config.ts',
      (value: string, before: string[]) => [...before, value],
      [] as string[],
    )
    .option('--json', 'print JSON')
}

export function noted(command: Command, keptIn: string): Command {
  return command
    .requiredOption('--because <reason>', `why; kept ${keptIn}`)
    .option('--by <name>', `who; kept ${keptIn}`, userInfo().username)
}

export function noteOf({ by, because }: Noted): AuditNote {
  return { by, because }
}

export async function eachTarget<R>(
  options: Shared,
  work: (target: Target) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = []
  for (const target of await targets(options.database)) results.push(await work(target))
  return results
}

export function print(options: Shared, value: unknown, text: () => string): void {
  process.stdout.write(`${options.json ? JSON.stringify(value) : text()}\n`)
}
