import type { Adapter, AdapterFactory } from './prisma-client.ts'

/** The pool that the user has made a driver adapter over; or another one with the same settings, where Prisma makes its own and does not show it. */
export class AdapterPool<Pool> {
  readonly #factory: AdapterFactory
  #connected: Promise<Adapter> | undefined

  constructor(factory: AdapterFactory) {
    this.#factory = factory
  }

  async get(): Promise<Pool> {
    this.#connected ??= this.#factory.connect().catch((error: unknown) => {
      this.#connected = undefined
      throw error
    })
    return (await this.#connected).underlyingDriver() as Pool
  }

  /** Ends a pool that is not the user's. */
  async close(): Promise<void> {
    const connected = this.#connected
    this.#connected = undefined
    if (!this.#factory.externalPool) await (await connected)?.dispose()
  }
}
