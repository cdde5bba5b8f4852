import type { DependencyStore, ListedDependency } from '../../core/dependencies.ts'
import type { MyAccess } from './access.ts'

/** How long what an instance said is kept after it has fallen silent. */
const silentMs = 24 * 3_600_000

export function dependencyStore({ read, write }: MyAccess): DependencyStore {
  return {
    report: (sight) =>
      write(async (connection) => {
        await connection.run('delete from waybill_dependencies where until_ms < waybill_now() - ?', silentMs)
        await connection.run(
          `insert into waybill_dependencies (name, owner, service, state, since, because, of_groups, until_ms) values (?, ?, ?, ?, ?, ?, ?, ?)
           on duplicate key update state = values(state), since = values(since), because = values(because), of_groups = values(of_groups), until_ms = values(until_ms)`,
          sight.name,
          sight.owner,
          sight.service,
          sight.state,
          sight.since,
          sight.because,
          JSON.stringify(sight.groups),
          sight.until,
        )
      }),
    withdraw: (owner) =>
      write(async (connection) => {
        await connection.run('delete from waybill_dependencies where owner = ?', owner)
      }),
    list: async () => {
      const rows = await read.all(
        'select d.*, until_ms < waybill_now() as is_silent from waybill_dependencies d order by name, owner',
      )
      return rows.map((row): ListedDependency => ({
        name: row['name'],
        owner: row['owner'],
        service: row['service'],
        state: row['state'],
        since: row['since'],
        because: row['because'],
        groups: JSON.parse(row['of_groups']),
        until: row['until_ms'],
        isSilent: row['is_silent'] === 1,
      }))
    },
  }
}
