import type { DependencySight } from '../../core/dependencies.ts'
import type { GroupFacts, StoreFacts } from '../../core/facts.ts'
import { toSight } from '../sql/dependencies.ts'
import { plainNames } from '../sql/dialect.ts'
import { toGroupFacts, toLandedFacts } from '../sql/fact-rows.ts'
import type { SqliteConnection } from './driver.ts'

export function groupFacts(connection: SqliteConnection): readonly GroupFacts[] {
  return connection
    .all(
      `select g.name, g.database_id, g.subscription, g.ordered, p.at, p.actor, p.because
       from waybill_groups g left join waybill_pauses p on p.grp = g.name order by g.name`,
    )
    .map(toGroupFacts)
}

export function sightFacts(connection: SqliteConnection): readonly DependencySight[] {
  return connection
    .all('select * from waybill_dependencies order by name, owner')
    .map((row) => toSight(row, plainNames))
}

export function landedFacts(connection: SqliteConnection): StoreFacts['landed'] {
  return connection.all('select * from waybill_landed order by source, topic, queue').map(toLandedFacts)
}
