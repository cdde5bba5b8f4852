import type { FactStore } from '../../core/facts.ts'
import { factStore } from '../sql/facts.ts'
import type { PgAccess } from './access.ts'
import { bookStore } from './books.ts'
import { outcomesOf } from './outcomes.ts'
import { placeOf } from './places.ts'
import type { Sequencing } from './sequencing.ts'

export function facts(access: PgAccess, sequencing: Sequencing): FactStore {
  return factStore(access, sequencing, {
    books: bookStore(access, sequencing),
    placeOf,
    outcomesOf,
    joinBatch: `cross join lateral (
      select * from waybill_relay_batches where topic = m.topic and queue = m.queue and from_pos <= m.place order by from_pos desc limit 1
    ) b`,
  })
}
