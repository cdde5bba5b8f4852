import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Database, OpenDatabase } from '../core/database.ts'
import type { Ports } from '../core/ports.ts'
import type { DatabaseSubject } from './subject.ts'

/** The handle that every SQLite library has in common. */
interface SqliteHandle {
  prepare(sql: string): { run(...params: any[]): unknown; all(...params: any[]): any[] }
  exec(sql: string): unknown
}

export interface SqliteSubjectOptions<Tx extends SqliteHandle> {
  /** The database function under test, such as `sqlite`. */
  readonly at: (path: string) => Database<Tx>
  readonly ports: Ports
  /** Moves `ports.clock`. */
  readonly advance: (ms: number) => Promise<void>
}

export interface SqliteSubject<Tx> extends DatabaseSubject<Tx> {
  readonly path: string
}

const options = { service: 'order', migrate: 'auto' } as const
/** A file's name after its path, and its content. libsql leaves the last commits in the WAL when it is closed. */
type Template = ReadonlyMap<'' | '-wal', Buffer>

const templates = new Map<unknown, Promise<Template>>()

/** A subject on any SQLite library: one new file, opened again for each further process. */
export async function sqliteSubject<Tx extends SqliteHandle>(
  given: SqliteSubjectOptions<Tx>,
): Promise<SqliteSubject<Tx>> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-conformance-'))
  const path = join(folder, 'subject.db')
  for (const [suffix, content] of await templateOf(given)) await writeFile(path + suffix, content)
  const open = (): OpenDatabase<Tx> => given.at(path).open(given.ports, options)
  let witness: OpenDatabase<Tx> | undefined
  return {
    path,
    ports: given.ports,
    advance: given.advance,
    open,
    effects: {
      add: (tx, text) => void tx.prepare('insert into effects (text) values (?)').run(text),
      all: () =>
        (witness ??= open()).transaction({
          work: (tx) =>
            tx
              .prepare('select text from effects order by rowid')
              .all()
              .map((row: { text: string }) => row.text),
        }),
    },
    dispose: async () => {
      await witness?.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The file as it is before a test: migrating one for each would take most of the time. */
function templateOf<Tx extends SqliteHandle>({ at, ports }: SqliteSubjectOptions<Tx>): Promise<Template> {
  const known = templates.get(at) ?? makeTemplate(at, ports)
  templates.set(at, known)
  return known
}

async function makeTemplate<Tx extends SqliteHandle>(
  at: (path: string) => Database<Tx>,
  ports: Ports,
): Promise<Template> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-conformance-'))
  try {
    const path = join(folder, 'template.db')
    const database = at(path).open(ports, options)
    await database.transaction({ work: (tx) => void tx.exec('create table effects (text text not null)') })
    await database.close()
    const template = new Map([['', await readFile(path)]] as ['' | '-wal', Buffer][])
    if (existsSync(`${path}-wal`)) template.set('-wal', await readFile(`${path}-wal`))
    return template
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
