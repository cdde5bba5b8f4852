import type { Command } from 'commander'
import type { ListedDependency } from '../index.ts'
import { type Shared, eachTarget, print, shared } from './command.ts'
import { withTarget } from './targets.ts'

/** `waybill dependencies` */
export function dependenciesCommand(program: Command): void {
  shared(program.command('dependencies'))
    .description('how the running instances find what they depend on outside')
    .action(async (options: Shared) => {
      const sights = (
        await eachTarget(options, (target) =>
          withTarget(target, 'check', async (waybill) =>
            (await waybill.dependencies()).map((sight) => ({ database: target.name, ...sight })),
          ),
        )
      ).flat()
      print(
        options,
        sights,
        () => sights.map((sight) => describe(sight)).join('\n') || 'no instance has said anything',
      )
    })
}

function describe(sight: ListedDependency & { readonly database: string }): string {
  const { database, name, state, since, because, groups, service, owner, until, isSilent } = sight
  const silent = isSilent ? `  silent since ${new Date(until).toISOString()}` : ''
  return `${database}  ${name}  ${state} since ${new Date(since).toISOString()}${silent}${because === null ? '' : `  ${because}`}\n  seen by ${service} ${owner}; groups: ${groups.join(', ')}`
}
