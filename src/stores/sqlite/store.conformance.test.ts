import { describe, test } from 'vitest'
import { sqliteSubject } from '../../conformance/sqlite-subject.ts'
import type { StoreClaims } from '../../conformance/store-bench.ts'
import { storeSuite } from '../../conformance/store-suite.ts'
import { testPorts } from '../../testing/ports.ts'
import { sqliteLibraries } from '../../testing/sqlite-libraries.fixture.ts'

/** A busy machine takes its time. */
const timeoutMs = 30_000

const claims: StoreClaims = {
  can: { clock: 'host', wakeUps: 'watch', sharedByProcesses: true },
  timeTravel: true,
}

describe.each(sqliteLibraries)('the store over $name', ({ at, skip: missing }) => {
  const make = () => {
    const ports = testPorts()
    return sqliteSubject({ at, ports, advance: (ms) => ports.clock.advance(ms) })
  }
  for (const { name, run, skip = missing } of storeSuite(make, claims)) {
    const declare = skip === undefined ? test : test.skip
    declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
  }
})
