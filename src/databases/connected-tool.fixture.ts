import type { Database } from '../core/database.ts'
import type { ToolOptions } from './tool-options.ts'

/** A tool on one server, set up as its users do. */
export interface ConnectedTool<Tx> {
  database(options: ToolOptions): Database<Tx, 'async'>
  /** Runs the user's own SQL on a transaction of the tool, in the tool's way. */
  run(tx: Tx, sql: string, params: readonly string[]): Promise<unknown>
  /** The tool's own way to a transaction. */
  transaction(work: (tx: Tx) => Promise<void>): Promise<unknown>
  /** What the tool has outside of a transaction: Waybill must refuse it. */
  readonly root: object
  close(): Promise<unknown>
}

export interface TestedTool<Tx> {
  readonly name: string
  connect(url: string): Promise<ConnectedTool<Tx>>
  /** Promises of the suite that the tool cannot keep, each with the reason. */
  readonly notClaimed?: Readonly<Record<string, string>>
}
