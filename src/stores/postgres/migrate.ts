import { WaybillError } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import { PgConnection, type StatementTexts, inSchema } from './connection.ts'
import type { PgDriver, PgRunner } from './driver.ts'
import { coded } from './errors.ts'
import { migrations } from './migrations/index.ts'
import type { Migration } from './migrations/migration.ts'

export const schemaVersion = migrations.at(-1)!.version
/** DDL must not queue behind a business transaction and make everybody else queue behind it (P14). */
const lockTimeoutMs = 100
const lockTriesMax = 100
const lockPauseMs = 100
/** Any number that no other software is likely to take: two migrations at once take turns. */
const advisoryLock = 7_261_847_003

const metaTable =
  'create table if not exists waybill_meta (name text collate "C" primary key, value text not null)'

/** All migrations as one script, for people who apply SQL themselves. */
export function migrationScript(schema: string): string {
  const steps = migrations.map(
    (step) =>
      `-- ${String(step.version).padStart(4, '0')}-${step.name}${step.sql}${recordVersion(step.version, step.worksWithSince)}`,
  )
  const text = `${metaTable};\ninsert into waybill_meta values ('epoch', gen_random_uuid()::text) on conflict do nothing;\n${steps.join('\n')}`
  return `begin;\ncreate schema if not exists "${schema}";\n${inSchema(text, schema)}commit;\n`
}

/**
 * Brings the schema up to this code's version, in one transaction: processes that start together apply it once.
 * @throws WaybillError `store.schema-too-new`, `store.busy`
 */
export async function migrate(
  driver: PgDriver<never>,
  texts: StatementTexts,
  ports: Ports,
  steps: readonly Migration[] = migrations,
): Promise<void> {
  if ((await installedVersion(new PgConnection(driver, texts))) === steps.at(-1)!.version) return
  for (let tries = 1; ; tries++) {
    try {
      return await migrateOnce(driver, texts, ports, steps)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'store.busy' || tries === lockTriesMax) throw error
      await new Promise<void>((resolve) => ports.clock.after(lockPauseMs, resolve))
    }
  }
}

async function migrateOnce(
  driver: PgDriver<never>,
  texts: StatementTexts,
  ports: Ports,
  steps: readonly Migration[],
): Promise<void> {
  const session = await driver.session()
  const run = async (text: string): Promise<void> => void (await session.query(text, []))
  try {
    await run('begin isolation level read committed')
    await run(`set local lock_timeout = ${lockTimeoutMs}`)
    await run(`select pg_advisory_xact_lock(${advisoryLock})`)
    await run(`create schema if not exists "${texts.schema}"`)
    await run(texts.of(metaTable))
    const connection = new PgConnection(session, texts)
    const before = await installedVersion(connection)
    await checkNotTooNew(connection, before)
    await connection.run(
      "insert into waybill_meta values ('epoch', ?) on conflict do nothing",
      ports.ids.epoch(),
    )
    for (const step of steps.filter(({ version }) => version > before))
      for (const statement of statementsOf(step.sql + recordVersion(step.version, step.worksWithSince)))
        await run(inSchema(statement, texts.schema))
    await run('commit')
    session.release()
  } catch (error) {
    await session.query('rollback', []).then(
      () => session.release(),
      (failed: unknown) => session.release(failed),
    )
    throw coded(error)
  }
}

/** @throws WaybillError `store.schema-missing`, `store.schema-too-new` */
export async function checkSchema(runner: PgRunner, texts: StatementTexts): Promise<void> {
  const connection = new PgConnection(runner, texts)
  const installed = await installedVersion(connection)
  if (installed < schemaVersion) {
    throw new WaybillError(
      'store.schema-missing',
      `the schema "${texts.schema}" has Waybill schema ${installed}, this version needs ${schemaVersion}; run: npx waybill migrate --database NAME=postgres://…`,
      { installed, needed: schemaVersion },
    )
  }
  await checkNotTooNew(connection, installed)
}

export async function installedVersion(connection: PgConnection): Promise<number> {
  const [there] = await connection.all(
    'select to_regclass(?) is not null as there',
    inSchema('waybill_meta', connection.schema),
  )
  if (!there?.['there']) return 0
  return Number((await meta(connection, 'schema_version')) ?? 0)
}

export async function meta(connection: PgConnection, name: string): Promise<string | undefined> {
  const [row] = await connection.all('select value from waybill_meta where name = ?', name)
  return row?.['value'] as string | undefined
}

async function checkNotTooNew(connection: PgConnection, installed: number): Promise<void> {
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

function recordVersion(version: number, worksWithSince: number): string {
  return `
insert into waybill_meta values ('schema_version', '${version}') on conflict (name) do update set value = excluded.value;
insert into waybill_meta values ('works_with_since', '${worksWithSince}') on conflict (name) do update set value = excluded.value;
`
}

/** Splits at the semicolons that end a line, but not inside a function's body. */
export function statementsOf(script: string): readonly string[] {
  const statements: string[] = []
  let current = ''
  let isInBody = false
  for (const line of script.split('\n')) {
    if (line.startsWith('--')) continue
    current += `${line}\n`
    if (line.split('$$').length % 2 === 0) isInBody = !isInBody
    if (!isInBody && line.endsWith(';')) {
      statements.push(current)
      current = ''
    }
  }
  return statements.concat(current.trim() === '' ? [] : [current])
}
