import type { Database, OpenDatabase } from '../core/database.ts'
import type { Ports } from '../core/ports.ts'
import type { DatabaseSubject } from './subject.ts'

/** A connection below its promises, as a pool of `mysql2` hands it to those who listen. */
export interface MysqlConnection {
  query(sql: string, done: (error: unknown) => void): unknown
}

/** What is used of a pool of `mysql2/promise`. */
export interface MysqlPool {
  query(sql: string): Promise<readonly [any, unknown]>
  on(event: 'connection', heard: (connection: any) => void): unknown
}

export interface MysqlSubjectOptions<Tx> {
  /** Whose connections' clock follows `ports.clock`, with each subject anew. */
  readonly pool: MysqlPool
  /** A database that is not there yet, and gone after the test. */
  readonly schema: string
  readonly at: (schema: string) => Database<Tx>
  readonly ports: Ports
  /** Moves `ports.clock`. */
  readonly advance: (ms: number) => Promise<void>
  /** Runs the user's own SQL on a handle. */
  readonly run: (tx: Tx, sql: string, params: readonly string[]) => Promise<unknown>
}

/** Databases that were migrated in this process, to be emptied for the next test: migrating one for each would take most of the time. */
const migrated = new Set<string>()
const stale = new Set<string>()

/** A subject on any MySQL library: a database of its own, whose connections take the time from the ports instead of the server. */
export async function mysqlSubject<Tx>(
  given: MysqlSubjectOptions<Tx>,
): Promise<DatabaseSubject<Tx> & { renew(): void }> {
  const { pool, schema, ports } = given
  const clock = clockOf(pool)
  await clock.set(ports.clock.now())
  const open = async (): Promise<OpenDatabase<Tx>> => {
    const database = given.at(schema).open(ports, { service: 'order', migrate: 'auto' })
    await database.ready()
    return database
  }
  if (stale.delete(schema)) {
    await pool.query(`drop database \`${schema}\``)
    migrated.delete(schema)
  }
  if (migrated.has(schema)) await empty(pool, schema)
  else {
    await pool.query(`create database \`${schema}\``)
    await (await open()).close()
    await pool.query(
      `create table \`${schema}\`.effects (n bigint auto_increment primary key, text longtext not null) default charset utf8mb4`,
    )
    migrated.add(schema)
  }
  return {
    ports,
    open,
    advance: async (ms) => {
      await given.advance(ms)
      await clock.set(ports.clock.now())
    },
    effects: {
      add: async (tx, text) =>
        void (await given.run(tx, `insert into \`${schema}\`.effects (text) values (?)`, [text])),
      all: async () => {
        const [rows] = await pool.query(`select text from \`${schema}\`.effects order by n`)
        return rows.map((row: { text: string }) => row.text)
      },
    },
    dispose: async () => {},
    /** The schema was changed, not only what is in it: the next test must not find it so. */
    renew: () => void stale.add(schema),
  }
}

interface PoolClock {
  set(now: number): Promise<void>
}

const clocks = new WeakMap<object, PoolClock>()

/** The session variable `timestamp` decides what the server takes for now, on each connection for itself. */
function clockOf(pool: MysqlPool): PoolClock {
  const known = clocks.get(pool)
  if (known) return known
  const connections = new Set<MysqlConnection>()
  let now = 0
  const tell = (connection: MysqlConnection): Promise<void> =>
    new Promise((resolve) => {
      // In the middle of the millisecond: seconds with a fraction are not exact.
      connection.query(`set timestamp = ${(now + 0.5) / 1_000}`, (error) => {
        // It was closed since.
        if (error) connections.delete(connection)
        resolve()
      })
    })
  pool.on('connection', (connection: MysqlConnection) => {
    connections.add(connection)
    void tell(connection)
  })
  const clock = {
    set: async (at: number) => {
      now = at
      await Promise.all([...connections].map(tell))
    },
  }
  clocks.set(pool, clock)
  return clock
}

async function empty(pool: MysqlPool, schema: string): Promise<void> {
  const [tables] = await pool.query(
    `select table_name as name from information_schema.tables where table_schema = '${schema}' and table_type = 'BASE TABLE' and table_name not in ('waybill_meta', 'waybill_locks')`,
  )
  // Not `truncate`, which makes new files: the tables hold next to nothing.
  for (const { name } of tables as { name: string }[]) await pool.query(`delete from \`${schema}\`.${name}`)
  await pool.query(`delete from \`${schema}\`.waybill_meta where name = 'kept_since'`)
}
