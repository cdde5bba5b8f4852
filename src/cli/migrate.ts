import { migrationSql, withoutPassword } from '../databases/open.ts'
import { type Target, withTarget } from './targets.ts'

export interface Migrated extends Target {
  readonly before: number
  readonly now: number
}

/** Creates or updates Waybill's tables. Safe to run at any time, by several at once. */
export async function migrate(list: readonly Target[]): Promise<readonly Migrated[]> {
  const results: Migrated[] = []
  for (const target of list)
    results.push({
      name: target.name,
      url: withoutPassword(target.url),
      ...(await withTarget(target, 'auto', (waybill) => waybill.schema())),
    })
  return results
}

export function describeMigrated({ name, before, now }: Migrated): string {
  return before === now ? `${name}: schema ${now}, nothing to do` : `${name}: schema ${before} → ${now}`
}

export function printSql(list: readonly Target[]): string {
  return list.map(({ name, url }) => `-- ${name}: ${withoutPassword(url)}\n${migrationSql(url)}`).join('\n')
}
