import type { FactStore } from '../../core/facts.ts'
import { factStore } from '../sql/facts.ts'
import type { MyAccess } from './access.ts'
import { bookStore } from './books.ts'
import { outcomesOf } from './outcomes.ts'
import { placeOf } from './log.ts'
import type { Sequencing } from './sequencing.ts'

export function facts(access: MyAccess, sequencing: Sequencing): FactStore {
  return factStore(access, sequencing, {
    books: bookStore(access, sequencing),
    placeOf,
    outcomesOf,
    joinBatch: `straight_join waybill_relay_batches b on b.topic = m.topic and b.queue = m.queue and b.from_pos = (
      select max(f.from_pos) from waybill_relay_batches f where f.topic = m.topic and f.queue = m.queue and f.from_pos <= m.place
    )`,
  })
}
