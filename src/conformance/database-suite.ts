import { type ConformanceTest, suiteOf } from './conformance-test.ts'
import { DatabaseBench, type DatabaseClaims, type HandleSubject } from './database-bench.ts'
import { afterCommit } from './database-suite/after-commit.ts'
import { diskFull } from './database-suite/disk-full.ts'
import { handles, unsafeHandles } from './database-suite/handles.ts'
import { opening, refusals } from './database-suite/opening.ts'
import { transactions } from './database-suite/transactions.ts'

/** What a database handle promises (core/database.ts), each promise on a fresh database. */
export function databaseSuite<Tx>(
  make: () => Promise<HandleSubject<Tx>>,
  claims: DatabaseClaims,
): readonly ConformanceTest[] {
  const promises = [
    transactions,
    afterCommit,
    handles,
    unsafeHandles(claims),
    opening,
    refusals(claims),
    diskFull,
  ].flat()
  return suiteOf(promises, claims, async (work) => DatabaseBench.use(await make(), claims, work))
}
