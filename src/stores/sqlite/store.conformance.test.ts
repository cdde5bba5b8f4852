import { describe, test } from 'vitest'
import { sqliteSubject } from '../../conformance/sqlite-subject.ts'
import type { StoreClaims } from '../../conformance/store-bench.ts'
import { storeSuite } from '../../conformance/store-suite.ts'
import { betterSqlite3 } from '../../databases/better-sqlite3.ts'
import { libsql } from '../../databases/libsql.ts'
import { sqlite } from '../../databases/sqlite.ts'
import { testPorts } from '../../testing/ports.ts'

/** A busy machine takes its time. */
const timeoutMs = 30_000

const claims: StoreClaims = {
  can: { clock: 'host', wakeUps: 'watch', sharedByProcesses: true },
  timeTravel: true,
}

describe.each([
  { name: 'node:sqlite', at: sqlite },
  { name: 'libsql', at: libsql },
  { name: 'better-sqlite3', at: betterSqlite3 },
])('the store over $name', ({ at }) => {
  const make = () => {
    const ports = testPorts()
    return sqliteSubject({ at, ports, advance: (ms) => ports.clock.advance(ms) })
  }
  for (const { name, run, skip } of storeSuite(make, claims)) {
    const declare = skip === undefined ? test : test.skip
    declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
  }
})
