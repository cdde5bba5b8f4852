import type {
  PgAdopted,
  PgAnswer,
  PgDriver,
  PgRow,
  PgSession,
  PgUserTransaction,
  PgValue,
} from '../stores/postgres/driver.ts'
import { stopped } from './adopted.ts'

/** A tool over a library: Waybill's own work goes over the library at once, that of users through the tool. */
export abstract class ToolDriver<Tx> implements PgDriver<Tx> {
  abstract readonly name: string
  protected readonly base: PgDriver<unknown>
  #isClosed = false

  constructor(base: PgDriver<unknown>) {
    this.base = base
  }

  abstract begin(): Promise<PgUserTransaction<Tx>>
  abstract adopt(handle: unknown): PgAdopted | undefined

  query(text: string, params: readonly PgValue[]): Promise<PgAnswer> {
    return this.base.query(text, params)
  }

  session(): Promise<PgSession> {
    return this.base.session()
  }

  listen(channel: string, notified: (payload?: string) => void): () => void {
    return this.base.listen(channel, notified)
  }

  alone(text: string): Promise<readonly PgRow[]> {
    return this.base.alone(text)
  }

  close(): Promise<void> {
    this.#isClosed = true
    return this.base.close()
  }

  /** The tool is the user's, and goes on without Waybill. */
  protected assertOpen(): void {
    if (this.#isClosed) throw stopped()
  }
}
