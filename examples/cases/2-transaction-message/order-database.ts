import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { PaymentCallback } from '../../shop/shared/payment-callback.ts'
import { insertOrder, openDatabase } from '../../shop/shared/tables.ts'

/**
 * The orders' database: another one than Waybill's, and the same on both sides. Each transaction connects anew, so that the database may
 * go and come back while the service runs.
 */
export class OrderDatabase {
  readonly #file: string

  /** @param folder of the order service, beside which that of its database is */
  constructor(folder: string) {
    this.#file = join(folder, '..', 'orders', 'orders.db')
  }

  /** @throws if it is down, or somebody else holds its write lock for too long */
  insert(callback: PaymentCallback): void {
    this.#connected((database) => insertOrder(database, callback))
  }

  /** @throws if it is down */
  has(orderId: string): boolean {
    return this.#connected((database) =>
      Boolean(database.prepare('select 1 from orders where id = ?').get(orderId)),
    )
  }

  #connected<R>(work: (database: DatabaseSync) => R): R {
    const database = openDatabase(this.#file)
    try {
      return work(database)
    } finally {
      database.close()
    }
  }
}
