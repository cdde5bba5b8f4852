import type { SqlAccess } from '../sql/connection.ts'
import type { MyConnection } from './connection.ts'

export type MyAccess = SqlAccess<MyConnection>
