import { migration as log } from './0001-log.sql.ts'
import type { Migration } from './migration.ts'

export const migrations: readonly Migration[] = [log]
