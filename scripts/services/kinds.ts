import { mariadb } from './mariadb.ts'
import { pgbouncer } from './pgbouncer.ts'
import { postgres } from './postgres.ts'
import type { ServerKind } from './server.ts'
import type { ServerName } from './state.ts'

export const kinds: Readonly<Record<ServerName, ServerKind>> = { postgres, mariadb, pgbouncer }
