import { WaybillError } from '../core/errors.ts'

export interface ToolOptions {
  /**
   * Where Waybill's tables are: on PostgreSQL a schema, by default 'public'; on MySQL and MariaDB a database of the same server, by default
   * the one that the connections are in.
   */
  readonly schema?: string
}

/**
 * For tools that do not show which database their connections are in.
 * @throws WaybillError `config.invalid`
 */
export function requireSchema(handle: string, { schema }: ToolOptions): void {
  if (schema === undefined)
    throw new WaybillError(
      'config.invalid',
      `${handle} cannot see which database its connections are in; name the one that Waybill's tables are in: { schema: 'shop' }`,
    )
}
