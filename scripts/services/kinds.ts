import { mariadb } from './mariadb.ts'
import { mysql } from './mysql.ts'
import { pgbouncer } from './pgbouncer.ts'
import { postgres } from './postgres.ts'
import type { ServerKind } from './server.ts'
import { type ServerName, isOnMysql } from './state.ts'

export const kinds: Readonly<Record<ServerName, ServerKind>> = {
  postgres,
  mariadb: isOnMysql ? mysql : mariadb,
  pgbouncer,
}
