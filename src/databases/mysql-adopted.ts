import type { Guard } from '../stores/mysql/control.ts'
import type { MyAdopted } from '../stores/mysql/driver.ts'
import { noTransaction } from '../stores/mysql/transactions.ts'
import { ask } from './mysql2-answers.ts'
import { type Core, statusOf } from './mysql2-status.ts'

/** A transaction of a tool that answers its connection only when it is waited for. */
export interface Unseen {
  /** Where its statements go. */
  core(): Promise<Core>
  /** What the tool itself says. */
  isOpen(): boolean
  /** Of one that Waybill has begun. */
  readonly guard: Guard | undefined
}

/** The tool's word counts at once, and that of its connection before the first statement: a deadlock or DDL may have ended what the tool takes for open. */
export function adoptUnseen({ core, isOpen, guard }: Unseen): MyAdopted {
  return {
    runner: {
      query: async (text, params) => {
        guard?.check('')
        const connection = await core()
        await assertIn(connection)
        return ask(connection, text, params)
      },
    },
    isInTransaction: () => {
      guard?.check('')
      return isOpen()
    },
    onceEnded: (ended) => void core().then((connection) => statusOf(connection).onceEnded(ended), ended),
  }
}

/**
 * What a connection that was not listened to before is in, it says with its next answer: once in its life.
 * @throws WaybillError `publish.no-transaction`
 */
export async function assertIn(core: Core): Promise<void> {
  const status = statusOf(core)
  if (status.isIn === undefined) await ask(core, askStatus, [])
  if (!status.isIn) throw noTransaction()
}

/** Does nothing, and is answered with the status. */
const askStatus = 'do 0'
