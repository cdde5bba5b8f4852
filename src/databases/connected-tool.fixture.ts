import type { Database } from '../core/database.ts'
import { silentLog } from '../core/log.ts'
import { Waybill } from '../index.ts'
import type { ToolOptions } from './tool-options.ts'

/** A tool on one server, set up as its users do. */
export interface ConnectedTool<Tx> {
  database(options: ToolOptions): Database<Tx, 'async'>
  /** Runs the user's own SQL on a transaction of the tool, in the tool's way. */
  run(tx: Tx, sql: string, params: readonly string[]): Promise<unknown>
  /** Writes the row of the table `business` whose `n` is 1: by a model of the tool's where it has some, else by what it builds statements with. */
  write(tx: Tx): Promise<unknown>
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

export async function migrated<Tx>({ database }: ConnectedTool<Tx>): Promise<Waybill<Tx, 'async'>> {
  const waybill = new Waybill({
    service: 'order',
    database: database({}),
    migrate: 'auto',
    log: silentLog,
  })
  await waybill.schema()
  return waybill
}
