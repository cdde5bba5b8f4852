import { migration as log } from './0001-log.sql.ts'
import { migration as dueAndHalves } from './0002-due-and-halves.sql.ts'
import { migration as recover } from './0003-recover.sql.ts'
import { migration as epochs } from './0004-epochs.sql.ts'
import type { Migration } from './migration.ts'

export const migrations: readonly Migration[] = [log, dueAndHalves, recover, epochs]
