import { WaybillError } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import type { SqliteConnection } from './driver.ts'
import { migrations } from './migrations/index.ts'

const metaTable =
  'create table if not exists waybill_meta (name text primary key, value text not null) without rowid'
export const schemaVersion = migrations.at(-1)?.version ?? 0

/** All migrations as one script, for people who apply SQL themselves. */
export function migrationScript(): string {
  const steps = migrations.map(
    (step) =>
      `-- ${String(step.version).padStart(4, '0')}-${step.name}${step.sql}${recordVersion(step.version, step.worksWithSince)}`,
  )
  return `pragma journal_mode = wal;\nbegin immediate;\n${metaTable};\ninsert or ignore into waybill_meta values ('epoch', lower(hex(randomblob(16))));\n${steps.join('\n')}commit;\n`
}

/**
 * Brings the schema up to this code's version, in one transaction under the write lock: processes that start together apply it once.
 * @returns the versions that were applied
 * @throws WaybillError `store.schema-too-new`
 */
export function migrate(connection: SqliteConnection, ports: Ports): readonly number[] {
  if (installedVersion(connection) === schemaVersion) return []
  connection.exec('begin immediate')
  try {
    const before = installedVersion(connection)
    checkNotTooNew(connection, before)
    const missing = migrations.filter((step) => step.version > before)
    connection.exec(metaTable)
    connection.run("insert or ignore into waybill_meta values ('epoch', ?)", ports.ids.epoch())
    for (const step of missing) connection.exec(step.sql + recordVersion(step.version, step.worksWithSince))
    connection.exec('commit')
    return missing.map((step) => step.version)
  } catch (error) {
    if (connection.isTransaction) connection.exec('rollback')
    throw error
  }
}

/** @throws WaybillError `store.schema-missing`, `store.schema-too-new` */
export function checkSchema(connection: SqliteConnection, path: string): void {
  const installed = installedVersion(connection)
  if (installed < schemaVersion) {
    throw new WaybillError(
      'store.schema-missing',
      `${path} has Waybill schema ${installed}, this version needs ${schemaVersion}; run: npx waybill migrate --database NAME=sqlite:${path}`,
      { installed, needed: schemaVersion },
    )
  }
  checkNotTooNew(connection, installed)
}

function checkNotTooNew(connection: SqliteConnection, installed: number): void {
  if (installed <= schemaVersion) return
  const since = Number(meta(connection, 'works_with_since') ?? installed)
  if (since > schemaVersion) {
    throw new WaybillError(
      'store.schema-too-new',
      `the database has Waybill schema ${installed}, which needs code for schema ${since} or newer; this code knows ${schemaVersion}; update the waybill package`,
      { installed, known: schemaVersion },
    )
  }
}

export function installedVersion(connection: SqliteConnection): number {
  const exists =
    connection.all("select 1 from sqlite_master where type = 'table' and name = 'waybill_meta'").length > 0
  return exists ? Number(meta(connection, 'schema_version') ?? 0) : 0
}

export function meta(connection: SqliteConnection, name: string): string | undefined {
  const row = connection.all('select value from waybill_meta where name = ?', name)[0]
  return row?.['value'] as string | undefined
}

function recordVersion(version: number, worksWithSince: number): string {
  return `insert into waybill_meta values ('schema_version', '${version}'), ('works_with_since', '${worksWithSince}') on conflict (name) do update set value = excluded.value;\n`
}
