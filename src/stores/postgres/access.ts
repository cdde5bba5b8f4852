import type { SqlAccess } from '../sql/connection.ts'
import type { PgConnection } from './connection.ts'

export type PgAccess = SqlAccess<PgConnection>
