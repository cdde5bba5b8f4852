import { mariadb } from './mariadb.ts'
import { postgres } from './postgres.ts'
import type { ServerKind } from './server.ts'
import type { ServiceName } from './state.ts'

export const kinds: Readonly<Record<ServiceName, ServerKind>> = { postgres, mariadb }
