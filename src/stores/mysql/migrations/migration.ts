export interface Migration {
  readonly version: number
  /** The oldest code that may use the database after this migration. Schema changes are add-only (P14). */
  readonly worksWithSince: number
  readonly name: string
  /** Names of tables, functions and views are qualified with Waybill's schema before it runs; names of indexes are not. */
  readonly sql: string
}
