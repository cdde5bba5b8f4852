import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { OpenDatabase } from '../core/database.ts'
import type { SqliteConnection, SqliteDriver, SqliteTx } from '../stores/sqlite/driver.ts'
import { openSqlite } from '../stores/sqlite/open.ts'
import { testPorts } from '../testing/ports.ts'
import { type SqliteLibrary, sqliteLibraries } from '../testing/sqlite-libraries.fixture.ts'
import { sqlite } from './sqlite.ts'

const options = { service: 'order', migrate: 'auto' } as const
let folder: string
let path: string
const opened: OpenDatabase<SqliteTx>[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waybill-handles-'))
  path = join(folder, 'x.db')
})
afterEach(async () => {
  for (const database of opened.splice(0)) await database.close()
  rmSync(folder, { recursive: true, force: true })
})

function open(at: SqliteLibrary['at']): OpenDatabase<SqliteTx> {
  const database = at(path).open(testPorts(), options)
  opened.push(database)
  return database
}

describe.each(sqliteLibraries.filter(({ skip }) => skip === undefined))(
  'a transaction of $name',
  ({ at }) => {
    const inTransaction = <R>(work: (tx: SqliteTx) => R): Promise<R> => open(at).transaction({ work })

    test('binds bytes alone, in a list and beside others, without ending the process', async () => {
      const rows = await inTransaction((tx) => {
        tx.exec('create table t (a, b)')
        tx.prepare('insert into t (a) values (?)').run(Buffer.from([1, 2]))
        tx.prepare('insert into t (a, b) values (?, ?)').run(Buffer.from([3]), 'x')
        return tx.prepare('select a, b from t order by rowid').all() as { a: Uint8Array; b: string | null }[]
      })
      expect(rows.map(({ a, b }) => [Array.from(new Uint8Array(a)), b])).toEqual([
        [[1, 2], null],
        [[3], 'x'],
      ])
    })

    test('binds a boolean or refuses it, without ending the process', async () => {
      const refused = inTransaction((tx) => {
        tx.exec('create table t (a)')
        tx.prepare('insert into t values (?)').run(true)
      }).then(
        () => 'bound',
        (error: Error) => error.message,
      )
      expect(await refused).toMatch(/^bound$|can only bind|cannot bind/)
    })

    test('takes named parameters', async () => {
      const row = await inTransaction(
        (tx) => tx.prepare('select @a as a, @b as b').get({ a: 'x', b: 'y' }) as object,
      )
      expect(row).toMatchObject({ a: 'x', b: 'y' })
    })

    test('iterates, also step by step', async () => {
      const [first, rest] = await inTransaction((tx) => {
        const rows = tx.prepare('select value from json_each(?)').iterate('[1,2,3]') as IterableIterator<{
          value: number
        }>
        return [rows.next().value!.value, [...rows].map(({ value }) => value)] as const
      })
      expect([first, rest]).toEqual([1, [2, 3]])
    })

    test('leaves savepoints to the user', async () => {
      const rows = await inTransaction((tx) => {
        tx.exec(
          "create table t (a); insert into t values ('kept'); savepoint s; insert into t values ('undone'); rollback to s; release s",
        )
        return tx.prepare('select a from t').all() as { a: string }[]
      })
      expect(rows.map(({ a }) => a)).toEqual(['kept'])
    })

    test('passes errors of the user’s own SQL on as they are, and goes on if they are caught', async () => {
      const database = open(at)
      await expect(
        database.transaction({ work: (tx) => void tx.prepare('select * from nowhere').all() }),
      ).rejects.toThrow(/^no such table: nowhere$/)
      await database.transaction({
        work: (tx) => {
          tx.exec("create table t (a unique); insert into t values ('x')")
          expect(() => tx.prepare("insert into t values ('x')").run()).toThrow(/UNIQUE/)
          tx.exec("insert into t values ('y')")
        },
      })
      const rows = await database.transaction({ work: (tx) => tx.prepare('select a from t').all() })
      expect(rows).toHaveLength(2)
    })

    test('cannot commit after SQLite rolled it back by itself, though the error was caught', async () => {
      const database = open(at)
      await database.transaction({
        work: (tx) => void tx.exec("create table t (a unique); insert into t values ('x')"),
      })
      const failed = database.transaction({
        work: (tx) => {
          tx.exec("insert into t values ('torn')")
          expect(() => tx.exec("insert or rollback into t values ('x')")).toThrow(/UNIQUE/)
          expect(() => tx.exec("insert into t values ('after')")).toThrow(/UNIQUE/)
        },
      })
      await expect(failed).rejects.toThrow(/UNIQUE/)
      const rows = (await database.transaction({ work: (tx) => tx.prepare('select a from t').all() })) as {
        a: string
      }[]
      expect(rows.map(({ a }) => a)).toEqual(['x'])
    })

    test('writes with synchronous=FULL in WAL mode, and waits for other processes', async () => {
      const settings = await inTransaction((tx) =>
        ['synchronous', 'journal_mode', 'busy_timeout'].map(
          (name) => Object.values(tx.prepare(`pragma ${name}`).get() as object)[0],
        ),
      )
      expect(settings).toEqual([2, 'wal', 10_000])
    })
  },
)

test.each(sqliteLibraries.filter(({ name, skip }) => name !== 'node:sqlite' && skip === undefined))(
  '$name beside node:sqlite on one file in one process is refused: each would break the other’s locks',
  async ({ at }) => {
    open(sqlite)
    expect(() => open(at)).toThrow(expect.objectContaining({ code: 'store.unsafe-settings' }))
    open(sqlite)
    for (const database of opened.splice(0)) await database.close()
    expect(open(at).schema.before).toBeGreaterThan(0)
  },
)

describe('synchronous=FULL', () => {
  /** node:sqlite, with every connection noted, and deaf to what `ignores` names. */
  function noting(connections: SqliteConnection[], ignores?: RegExp): SqliteDriver {
    return {
      name: 'noting',
      connect: (file, { readOnly, busyTimeoutMs }) => {
        const database = new DatabaseSync(file, { readOnly, timeout: busyTimeoutMs })
        const connection: SqliteConnection = {
          all: (sql, ...params) => database.prepare(sql).all(...params) as never,
          lists: (sql, ...params) => database.prepare(sql).all(...params) as never,
          run: (sql, ...params) => Number(database.prepare(sql).run(...params).changes),
          exec: (sql) =>
            ignores?.test(sql) === true ? database.exec('pragma synchronous = normal') : database.exec(sql),
          prepare: (sql) => database.prepare(sql) as never,
          get isTransaction() {
            return database.isTransaction
          },
          close: () => database.close(),
        }
        connections.push(connection)
        return connection
      },
      adopt: () => undefined,
      resultCode: (error) => (error as { errcode?: number } | null)?.errcode,
    }
  }

  test('is set on every connection, for reading and for writing', () => {
    const connections: SqliteConnection[] = []
    opened.push(openSqlite(noting(connections), path, testPorts(), options))
    expect(connections).toHaveLength(2)
    for (const connection of connections)
      expect(connection.all('pragma synchronous')).toEqual([{ synchronous: 2 }])
  })

  test('is read back: a build that keeps NORMAL is refused', () => {
    const connections: SqliteConnection[] = []
    const deaf = noting(connections, /synchronous = full/)
    expect(() => openSqlite(deaf, path, testPorts(), options)).toThrow(
      expect.objectContaining({ code: 'store.unsafe-settings' }),
    )
    for (const connection of connections) expect(() => connection.all('select 1')).toThrow('not open')
  })
})
