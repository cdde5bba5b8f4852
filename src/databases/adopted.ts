import { WaybillError } from '../core/errors.ts'
import type { PgAdopted } from '../stores/postgres/driver.ts'
import { noTransaction } from '../stores/postgres/transactions.ts'

/** The tool's handle outside of transactions, on which each statement would commit by itself. */
export const adoptedRoot: PgAdopted = {
  runner: { query: () => Promise.reject(noTransaction()) },
  isInTransaction: () => false,
}

export function stopped(): WaybillError {
  return new WaybillError('waybill.stopped', 'this Waybill was stopped; make a new one')
}
