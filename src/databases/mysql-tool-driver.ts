import type {
  MyAnswer,
  MyAdopted,
  MyDriver,
  MySession,
  MyUserTransaction,
  MyValue,
} from '../stores/mysql/driver.ts'
import { stopped } from './adopted.ts'
import type { Mysql2Driver } from './mysql2-pool.ts'

/** A tool over mysql2: Waybill's own work goes over the library at once, that of users through the tool. */
export abstract class MyToolDriver<Tx> implements MyDriver<Tx> {
  abstract readonly name: string
  protected readonly base: Mysql2Driver
  #isClosed = false

  constructor(base: Mysql2Driver) {
    this.base = base
  }

  abstract begin(): Promise<MyUserTransaction<Tx>>
  abstract adopt(handle: unknown): MyAdopted | undefined

  get database(): string | undefined {
    return this.base.database
  }

  query(text: string, params: readonly MyValue[]): Promise<MyAnswer> {
    return this.base.query(text, params)
  }

  session(): Promise<MySession> {
    return this.base.session()
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
