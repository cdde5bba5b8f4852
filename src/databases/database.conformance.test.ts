import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, mkdirSync, openSync, readdirSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, test } from 'vitest'
import type { DatabaseClaims, HandleSubject, OwnHandle } from '../conformance/database-bench.ts'
import { databaseSuite } from '../conformance/database-suite.ts'
import { type SqliteSubject, sqliteSubject } from '../conformance/sqlite-subject.ts'
import type { OpenDatabase } from '../core/database.ts'
import type { SqliteTx } from '../stores/sqlite/driver.ts'
import { testPorts } from '../testing/ports.ts'
import { type RawSqlite, type SqliteLibrary, sqliteLibraries } from '../testing/sqlite-libraries.fixture.ts'

/** Starting processes takes long on a busy machine. */
const timeoutMs = 30_000

const claims: DatabaseClaims = {
  mode: 'sync',
  dialect: 'sqlite',
  prepares: true,
  fillsUp: true,
  refusals: [
    { what: 'a file that is no database', code: 'store.not-a-database' },
    { what: 'a short file that is no database', code: 'store.not-a-database' },
    { what: 'a damaged database', code: 'store.corrupt' },
    { what: 'a file in a folder that does not exist', code: 'store.io' },
    { what: 'a folder', code: 'store.io' },
    { what: 'a read-only file', code: 'store.read-only' },
    { what: 'a read-only file in a read-only folder', code: 'store.read-only' },
    { what: ':memory:', code: 'config.invalid' },
    { what: 'an empty path', code: 'config.invalid' },
    { what: 'a file: URL, which may name a database in memory', code: 'config.invalid' },
  ],
  unsafeHandles: [
    { what: 'a handle with synchronous=normal', code: 'store.unsafe-settings' },
    { what: 'a handle with synchronous=off', code: 'store.unsafe-settings' },
    { what: 'a handle on a file without Waybill', code: 'publish.handle-unknown' },
    { what: 'a handle on a database in memory', code: 'publish.handle-unknown' },
  ],
}

const control = [
  'commit',
  'COMMIT;',
  'end transaction',
  'rollback',
  'begin immediate',
  '-- done\ncommit',
  '/* done; */ commit',
  '; commit',
  "insert into effects (text) values ('smuggled'); commit",
  "insert into effects (text) values ('smuggled'); commit; begin",
  "attach database ':memory:' as other",
]

describe.each(sqliteLibraries)('the database over $name', (library) => {
  for (const { name, run, skip = library.skip } of databaseSuite(() => makeSubject(library), claims)) {
    const declare = skip === undefined ? test : test.skip
    declare(skip === undefined ? name : `${name} (${skip})`, run, timeoutMs)
  }
})

async function makeSubject(library: SqliteLibrary): Promise<HandleSubject<SqliteTx>> {
  const ports = testPorts()
  const subject = await sqliteSubject({ at: library.at, ports, advance: (ms) => ports.clock.advance(ms) })
  const folder = dirname(subject.path)
  let files = 0
  return {
    ...subject,
    own: () => {
      const handle = library.raw(subject.path)
      // better-sqlite3 is built to run WAL at NORMAL unless it is told otherwise.
      handle.exec('pragma synchronous = full')
      return own(handle)
    },
    foreign: [
      { prepare() {}, exec() {} },
      ...sqliteLibraries
        .filter((other) => other !== library && other.skip === undefined)
        .map((other) => other.raw(':memory:')),
    ],
    run: (tx, sql) => tx.exec(sql),
    control,
    prepareAdd: (tx) => {
      const statement = tx.prepare('insert into effects (text) values (?)')
      return (text) => statement.run(text)
    },
    room: (tx, isThere) => tx.exec(`pragma max_page_count = ${isThere ? 1_000_000 : 1}`),
    empty: () => {
      const path = join(folder, `empty-${files++}.db`)
      return { open: (migrate) => library.at(path).open(ports, { service: 'order', migrate }) }
    },
    openInProcesses: (count) => openInProcesses(library, folder, count),
    pretendNewer: async (version, worksWithSince) => {
      // By the same library: a second one in this process would break the first one's file locks.
      const database = library.raw(subject.path)
      database.exec(`update waybill_meta set value = '${version}' where name = 'schema_version'`)
      database.exec(`update waybill_meta set value = '${worksWithSince}' where name = 'works_with_since'`)
      database.close()
    },
    openRefused: (what) => openRefused(library, subject, what),
    unsafe: (what) => unsafeHandle(library, subject.path, what),
  }
}

function own(handle: RawSqlite): OwnHandle<SqliteTx> {
  return {
    tx: handle,
    begin: () => handle.exec('begin immediate'),
    commit: () => handle.exec('commit'),
    rollback: () => handle.exec('rollback'),
    close: () => handle.close(),
  }
}

function unsafeHandle({ raw }: SqliteLibrary, path: string, what: string): OwnHandle<SqliteTx> {
  if (what.endsWith('in memory')) return own(raw(':memory:'))
  if (what.endsWith('without Waybill')) return own(raw(join(dirname(path), 'other.db')))
  const handle = raw(path)
  handle.exec(`pragma ${what.replace('a handle with ', '')}`)
  return own(handle)
}

function openRefused(
  { at, raw }: SqliteLibrary,
  { path, ports }: SqliteSubject<SqliteTx>,
  what: string,
): unknown {
  const folder = join(dirname(path), 'refused')
  const file = join(folder, 'x.db')
  mkdirSync(folder)
  const open = (where: string) => at(where).open(ports, { service: 'order', migrate: 'auto' })
  switch (what) {
    case 'a file that is no database':
      writeFileSync(file, 'This is no database, whatever its name says. '.repeat(100))
      return open(file)
    case 'a short file that is no database':
      writeFileSync(file, 'short')
      return open(file)
    case 'a damaged database':
      createTable(raw(file))
      writeSync(openSync(file, 'r+'), Buffer.alloc(3_000, 0xff), 0, 3_000, 100)
      return open(file)
    case 'a file in a folder that does not exist':
      return open(join(folder, 'missing', 'x.db'))
    case 'a folder':
      return open(folder)
    case 'a read-only file':
    case 'a read-only file in a read-only folder':
      copyDatabase(path, file)
      chmodSync(file, 0o444)
      chmodSync(dirname(path), 0o755)
      chmodSync(folder, what.endsWith('folder') ? 0o555 : 0o777)
      try {
        return asOrdinaryUser(() => open(file))
      } finally {
        // Or the folder could not be cleared away.
        chmodSync(folder, 0o755)
      }
    case 'an empty path':
      return open('')
    case ':memory:':
      return open(':memory:')
    default:
      return open('file:x.db?mode=memory')
  }
}

function createTable(handle: RawSqlite): void {
  handle.exec('create table damaged (a)')
  handle.close()
}

/** With its WAL: libsql leaves the last commits there. */
function copyDatabase(from: string, to: string): void {
  for (const name of readdirSync(dirname(from))) {
    if (join(dirname(from), name) === from || name.endsWith('-wal'))
      cpSync(join(dirname(from), name), name.endsWith('-wal') ? `${to}-wal` : to)
  }
}

/** Root may write to what is read-only, so it puts its rights aside meanwhile. */
function asOrdinaryUser<R>(work: () => R): R {
  if (process.geteuid?.() !== 0) return work()
  process.seteuid!(65_534)
  try {
    return work()
  } finally {
    process.seteuid!(0)
  }
}

const rounds = 4

/** Starts the processes first, so that each round they open a new file at nearly the same moment. */
async function openInProcesses(
  library: SqliteLibrary,
  folder: string,
  count: number,
): Promise<readonly OpenDatabase<SqliteTx>['schema'][]> {
  const [module, name] = library.source
  const script = `
    import { createInterface } from 'node:readline'
    import { ${name} as at } from ${JSON.stringify(module)}
    import { systemPorts } from ${JSON.stringify(new URL('../system.ts', import.meta.url).href)}
    console.log('ready')
    for await (const path of createInterface({ input: process.stdin })) {
      const database = at(path).open(systemPorts, { service: 'order', migrate: 'auto' })
      console.log(JSON.stringify(database.schema))
      await database.close()
    }`
  const children = Array.from({ length: count }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  try {
    const lines = children.map((child) => createInterface({ input: child.stdout })[Symbol.asyncIterator]())
    const next = () => Promise.all(lines.map(async (line) => String((await line.next()).value)))
    await next()
    let schemas: readonly OpenDatabase<SqliteTx>['schema'][] = []
    for (let round = 0; round < rounds; round++) {
      for (const child of children) child.stdin.write(`${join(folder, `together-${round}.db`)}\n`)
      schemas = (await next()).map((line) => JSON.parse(line) as OpenDatabase<SqliteTx>['schema'])
    }
    return schemas
  } finally {
    await Promise.all(children.map(endOf))
  }
}

async function endOf(child: ChildProcess): Promise<void> {
  child.stdin!.end()
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}
