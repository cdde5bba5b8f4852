import type { Database, OpenDatabase } from '../core/database.ts'
import type { Ports } from '../core/ports.ts'
import type { DatabaseSubject } from './subject.ts'

/** Whatever runs SQL outside of any transaction, such as a pool of `pg`. */
export interface SqlRunner {
  query(sql: string): Promise<{ readonly rows: readonly any[] }>
}

export interface PostgresSubjectOptions<Tx> {
  readonly pool: SqlRunner
  /** A schema that is not there yet, and gone after the test. */
  readonly schema: string
  readonly at: (schema: string) => Database<Tx>
  readonly ports: Ports
  /** Moves `ports.clock`. */
  readonly advance: (ms: number) => Promise<void>
  /** Runs the user's own SQL on a handle. */
  readonly run: (tx: Tx, sql: string, params: readonly string[]) => Promise<unknown>
}

/** Schemas that were migrated in this process, to be emptied for the next test: migrating one for each would take most of the time. */
const migrated = new Set<string>()
const stale = new Set<string>()

/** A subject on any PostgreSQL library: a schema of its own, whose clock follows the ports' instead of the server's. */
export async function postgresSubject<Tx>(
  given: PostgresSubjectOptions<Tx>,
): Promise<DatabaseSubject<Tx> & { renew(): void }> {
  const { pool, schema, ports } = given
  const open = async (): Promise<OpenDatabase<Tx>> => {
    const database = given.at(schema).open(ports, { service: 'order', migrate: 'auto' })
    await database.ready()
    return database
  }
  if (stale.delete(schema)) {
    await pool.query(`drop schema "${schema}" cascade`)
    migrated.delete(schema)
  }
  if (migrated.has(schema)) await empty(pool, schema, ports.clock.now())
  else {
    await (await open()).close()
    await prepare(pool, schema, ports.clock.now())
    migrated.add(schema)
  }
  return {
    ports,
    open,
    advance: async (ms) => {
      await given.advance(ms)
      await pool.query(`update "${schema}".test_clock set now_ms = ${ports.clock.now()}`)
    },
    effects: {
      add: async (tx, text) =>
        void (await given.run(tx, `insert into "${schema}".effects (text) values ($1)`, [text])),
      all: async () => {
        const { rows } = await pool.query(`select text from "${schema}".effects order by n`)
        return rows.map((row: { text: string }) => row.text)
      },
    },
    dispose: async () => {},
    /** The schema was changed, not only what is in it: the next test must not find it so. */
    renew: () => void stale.add(schema),
  }
}

async function prepare(pool: SqlRunner, schema: string, now: number): Promise<void> {
  await pool.query(`
    create table "${schema}".effects (n bigint generated always as identity, text text not null);
    create table "${schema}".test_clock (now_ms bigint not null);
    insert into "${schema}".test_clock values (${now});
    create or replace function "${schema}".waybill_now() returns bigint language sql volatile as 'select now_ms from "${schema}".test_clock'`)
}

async function empty(pool: SqlRunner, schema: string, now: number): Promise<void> {
  const { rows } = await pool.query(
    `select tablename from pg_tables where schemaname = '${schema}' and tablename not in ('waybill_meta', 'waybill_awake', 'test_clock')`,
  )
  // Not `truncate`, which makes new files: the tables hold next to nothing.
  const deletes = rows
    .map((row: { tablename: string }) => `delete from "${schema}".${row.tablename}`)
    .join(';')
  await pool.query(`
    ${deletes};
    select setval('"${schema}".waybill_positions', 1, false);
    insert into "${schema}".waybill_sequencer (from_snapshot, floor, next) values ('1:1:', 0, '1');
    delete from "${schema}".waybill_meta where name = 'kept_since';
    update "${schema}".test_clock set now_ms = ${now}`)
}
