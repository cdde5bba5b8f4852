import assert from 'node:assert/strict'
import { type ConformanceTest, suiteOf } from './conformance-test.ts'
import { StoreBench, type StoreClaims, type StorePromise } from './store-bench.ts'
import { books } from './store-suite/books.ts'
import { claiming } from './store-suite/claiming.ts'
import { deadLetters } from './store-suite/dead-letters.ts'
import { delayed } from './store-suite/delayed.ts'
import { dependencies } from './store-suite/dependencies.ts'
import { epochs } from './store-suite/epochs.ts'
import { facts } from './store-suite/facts.ts'
import { fences } from './store-suite/fences.ts'
import { groupAdmin } from './store-suite/group-admin.ts'
import { groups } from './store-suite/groups.ts'
import { halves } from './store-suite/halves.ts'
import { landing } from './store-suite/landing.ts'
import { leases } from './store-suite/leases.ts'
import { order } from './store-suite/order.ts'
import { publishing } from './store-suite/publishing.ts'
import { reading } from './store-suite/reading.ts'
import { redriveSteps } from './store-suite/redrive-steps.ts'
import { redrives } from './store-suite/redrives.ts'
import { search } from './store-suite/search.ts'
import { settling } from './store-suite/settling.ts'
import { suspects } from './store-suite/suspects.ts'
import { upkeep } from './store-suite/upkeep.ts'
import type { DatabaseSubject } from './subject.ts'

/** What a store promises (core/store.ts), each promise on a fresh database. */
export function storeSuite<Tx>(
  make: () => Promise<DatabaseSubject<Tx>>,
  claims: StoreClaims,
): readonly ConformanceTest[] {
  const claimed: StorePromise = {
    name: 'the store’s capabilities are those that are claimed for it',
    async run(t) {
      assert.deepEqual(t.store.can, claims.can)
    },
  }
  const promises = [
    claimed,
    publishing,
    groups,
    groupAdmin,
    leases,
    fences,
    reading,
    claiming,
    settling,
    order,
    suspects,
    landing,
    epochs,
    delayed,
    halves,
    deadLetters,
    redrives,
    redriveSteps,
    dependencies,
    search,
    facts,
    books,
    upkeep,
  ].flat()
  return suiteOf(promises, claims, async (work) => StoreBench.use(await make(), work))
}
