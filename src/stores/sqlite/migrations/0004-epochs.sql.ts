import type { Migration } from './migration.ts'

export const migration: Migration = {
  version: 4,
  worksWithSince: 1,
  name: 'epochs',
  sql: `
-- Which history of the log a position belongs to, where that began, and which was before (P12).
alter table waybill_cursors add column epoch_began integer not null default 0;
alter table waybill_cursors add column previous_epoch text;
alter table waybill_landed add column epoch text not null default '';
-- The first epoch of a cursor is named like its database.
update waybill_landed set epoch = substr(source, length('database:') + 1) where source like 'database:%';
`,
}
