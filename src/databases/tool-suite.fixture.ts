import { afterAll, describe, test } from 'vitest'
import { freshDatabase, requireService } from '../../scripts/services/index.ts'
import { databaseSuite } from '../conformance/database-suite.ts'
import type { TestedTool } from './connected-tool.fixture.ts'
import { type Crossing, crossingSuite } from './crossing.fixture.ts'
import { type ServerKind, type TestPool, ToolServer } from './tool-server.fixture.ts'

const timeoutMs = 30_000
const notClaimed: Readonly<Record<string, string>> = {
  'processes that start together on an empty database migrate it once':
    'not claimed: it is run over the library itself, and migrates with the same statements here',
}

/** The suite of handles over a tool, on a real server, and what goes through it. */
export async function testOn<Tx, Pool extends TestPool>(
  kind: ServerKind<Pool>,
  crossing: Crossing,
  tool: TestedTool<Tx>,
): Promise<void> {
  const found = await requireService(kind.service)
  // Of its own: migrations in one database wait for one another, by a clock that stands still here.
  const place = 'url' in found ? await freshDatabase(kind.service, found.url) : undefined
  const server = new ToolServer(kind, (at) => tool.connect(at), place?.url ?? kind.nowhere)
  const suite = databaseSuite(() => server.subject(), kind.claims)
  const all = [...suite, ...crossingSuite<Tx>(crossing, (by) => server.fresh(by))]
  afterAll(async () => {
    await server.close(place !== undefined)
    await place?.drop()
  })
  describe.skipIf('skipped' in found)(`the database over ${tool.name}`, () => {
    for (const { name, run, skip } of all) {
      const reason = skip ?? tool.notClaimed?.[name] ?? notClaimed[name]
      const declare = reason === undefined ? test : test.skip
      declare(reason === undefined ? name : `${name} (${reason})`, run, timeoutMs)
    }
  })
}
