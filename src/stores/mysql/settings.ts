import { WaybillError } from '../../core/errors.ts'
import type { MyConnection } from './connection.ts'

/** Modes that take an empty text for NULL, or read the SQL otherwise. */
const modesRefused = /\b(?:EMPTY_STRING_IS_NULL|ORACLE)\b/

/**
 * Refuses what would change messages silently. Answers how many bytes a packet may have.
 * @throws WaybillError `store.unsafe-settings`
 */
export async function checkSettings(connection: MyConnection): Promise<number> {
  const [row] = await connection.all(
    'select @@character_set_client as charset, @@sql_mode as modes, @@max_allowed_packet as packet',
  )
  const charset = row!['charset'] as string
  if (charset !== 'utf8mb4')
    refuse(
      `the connections speak ${charset}, which lacks characters that messages may have; set charset: 'utf8mb4' for the pool`,
    )
  const mode = modesRefused.exec(row!['modes'])?.[0]
  if (mode !== undefined) refuse(`the SQL mode ${mode} changes what texts mean; take it out of sql_mode`)
  return row!['packet']
}

function refuse(why: string): never {
  throw new WaybillError('store.unsafe-settings', why)
}
