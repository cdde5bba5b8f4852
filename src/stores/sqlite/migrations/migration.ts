export interface Migration {
  readonly version: number
  /** The oldest code that may use the database after this migration. Schema changes are add-only (P14). */
  readonly worksWithSince: number
  readonly name: string
  readonly sql: string
}
