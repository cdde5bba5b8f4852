import { WaybillError, isWaybillError, reasonOf } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import { MyConnection, type StatementTexts, inSchema } from './connection.ts'
import type { MyDriver, MyRunner } from './driver.ts'
import { coded } from './errors.ts'
import { migrations } from './migrations/index.ts'
import type { Migration } from './migrations/migration.ts'
import { beginReadCommitted, begun } from './transactions.ts'

export const schemaVersion = migrations.at(-1)!.version

/** DDL must not queue behind a business transaction and make everybody else queue behind it (P14). */
const lockWaitMs = 100
const lockTriesMax = 100
const lockPauseMs = 100

const metaTable = `create table if not exists waybill_meta (
  name varchar(100) primary key, value varchar(1000) not null
) engine = InnoDB default charset utf8mb4`

/** All migrations as one script, for people who apply SQL themselves. */
export function migrationScript(schema: string, isMariaDb: boolean): string {
  const steps = migrations.map(
    (step) =>
      `-- ${String(step.version).padStart(4, '0')}-${step.name}${onServer(step.sql, isMariaDb)}${recordVersion(step.version, step.worksWithSince)}`,
  )
  const text = `${metaTable};\ninsert ignore into waybill_meta values ('epoch', uuid());\n${steps.join('\n')}`
  return `create database if not exists \`${schema.replaceAll('`', '``')}\`;\n${inSchema(text, schema)}`
}

/**
 * Brings the schema up to this code's version. DDL commits by itself, so each statement can be repeated, the version is written last,
 * and whoever comes meanwhile waits for a row that a second connection holds; if its process dies, the next one begins anew.
 * @throws WaybillError `store.schema-too-new`, `store.busy`
 */
export async function migrate(
  driver: MyDriver<never>,
  texts: StatementTexts,
  ports: Ports,
  steps: readonly Migration[] = migrations,
): Promise<void> {
  const connection = new MyConnection(driver, texts)
  if ((await installedVersion(connection)) === steps.at(-1)!.version) return
  await connection.run(metaTable)
  await connection.run("insert ignore into waybill_meta values ('migrating', '')")
  const turn = await begun(await driver.session(), beginReadCommitted)
  try {
    await turn.query(texts.of("select 1 from waybill_meta where name = 'migrating' for update"), [])
    const before = await installedVersion(connection)
    await checkNotTooNew(connection, before)
    await connection.run("insert ignore into waybill_meta values ('epoch', ?)", ports.ids.epoch())
    const isMariaDb = await onMariaDb(connection)
    const scripts = steps
      .filter(({ version }) => version > before)
      .map((step) => onServer(step.sql, isMariaDb) + recordVersion(step.version, step.worksWithSince))
    await apply(driver, texts, ports, scripts.flatMap(statementsOf))
  } catch (error) {
    throw coded(error)
  } finally {
    await turn.rollBack()
  }
}

/** On a connection of its own, which is thrown away: its patience is not that of other work. */
async function apply(
  driver: MyDriver<never>,
  texts: StatementTexts,
  ports: Ports,
  statements: readonly string[],
): Promise<void> {
  const aside = new MyConnection(driver, texts)
  const session = await driver.session()
  try {
    const connection = new MyConnection(session, texts)
    const [own] = await connection.all('select connection_id() as id')
    // In seconds, and so too long: only for where nobody can stop the wait.
    await connection.run('set lock_wait_timeout = 1')
    for (const statement of statements)
      await patiently(ports, () => impatiently(ports, aside, own!['id'], () => connection.run(statement)))
  } finally {
    session.release(new Error('its lock_wait_timeout was changed'))
  }
}

/** Tries again while somebody's transaction is in the way. */
async function patiently(ports: Ports, run: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await run()
      return
    } catch (error) {
      if (!isWaybillError(error, 'store.busy') || tries === lockTriesMax) throw error
      await new Promise<void>((resolve) => ports.clock.after(lockPauseMs, resolve))
    }
  }
}

/** Stops a statement that waits for a table longer than it may: everybody who comes later waits behind it. */
async function impatiently(
  ports: Ports,
  aside: MyConnection,
  id: number,
  run: () => Promise<unknown>,
): Promise<void> {
  let isOver = false
  const look = async (): Promise<void> => {
    try {
      const waits = await aside.all(
        "select 1 from information_schema.processlist where id = ? and state like 'Waiting for table metadata lock%'",
        id,
      )
      if (waits.length > 0 && !isOver) await aside.run(`kill query ${id}`)
    } catch (error) {
      ports.log.warn({ err: error }, `a migration that waits could not be stopped: ${reasonOf(error)}`)
    }
    if (!isOver) cancel = ports.clock.after(lockWaitMs, () => void look())
  }
  let cancel = ports.clock.after(lockWaitMs, () => void look())
  try {
    await run()
  } finally {
    isOver = true
    cancel()
  }
}

/** @throws WaybillError `store.schema-missing`, `store.schema-too-new` */
export async function checkSchema(runner: MyRunner, texts: StatementTexts): Promise<void> {
  const connection = new MyConnection(runner, texts)
  const installed = await installedVersion(connection)
  if (installed < schemaVersion) {
    throw new WaybillError(
      'store.schema-missing',
      `the database ${texts.schema} has Waybill schema ${installed}, this version needs ${schemaVersion}; run: npx waybill migrate --database NAME=mysql://…`,
      { installed, needed: schemaVersion },
    )
  }
  await checkNotTooNew(connection, installed)
}

export async function installedVersion(connection: MyConnection): Promise<number> {
  const there = await connection.all(
    "select 1 from information_schema.tables where table_schema = ? and table_name = concat('waybill', '_meta')",
    connection.schema,
  )
  if (there.length === 0) return 0
  return Number((await meta(connection, 'schema_version')) ?? 0)
}

export async function meta(connection: MyConnection, name: string): Promise<string | undefined> {
  const [row] = await connection.all('select value from waybill_meta where name = ?', name)
  return row?.['value'] as string | undefined
}

async function checkNotTooNew(connection: MyConnection, installed: number): Promise<void> {
  if (installed <= schemaVersion) return
  const since = Number((await meta(connection, 'works_with_since')) ?? installed)
  if (since > schemaVersion) {
    throw new WaybillError(
      'store.schema-too-new',
      `the database has Waybill schema ${installed}, which works with version ${since} and later of the schema; this code knows ${schemaVersion}; update the package`,
      { installed, known: schemaVersion },
    )
  }
}

async function onMariaDb(connection: MyConnection): Promise<boolean> {
  const [row] = await connection.all('select version() as version')
  return /mariadb/i.test(row!['version'])
}

/** Each has its own name for a collation that takes texts as they are: case, accents and also spaces at the end. */
function onServer(script: string, isMariaDb: boolean): string {
  return script.replaceAll('WAYBILL_COLLATION', isMariaDb ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin')
}

function recordVersion(version: number, worksWithSince: number): string {
  return `
insert into waybill_meta values ('works_with_since', '${worksWithSince}') on duplicate key update value = '${worksWithSince}';
insert into waybill_meta values ('schema_version', '${version}') on duplicate key update value = '${version}';
`
}

/** Splits at the semicolons that end a line. */
function statementsOf(script: string): readonly string[] {
  const lines = script.split('\n').filter((line) => !line.startsWith('--'))
  return lines
    .join('\n')
    .split(/;\n/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}
