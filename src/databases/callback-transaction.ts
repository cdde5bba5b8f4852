/** A transaction of a tool that gives one out only inside of a callback, begun and ended from outside of it. */
export interface CallbackTransaction<Tx> {
  readonly tx: Tx
  commit(): Promise<void>
  rollBack(): Promise<void>
}

/**
 * Begins one. `run` hands the callback to the tool, and settles as the tool does. `coded` says of an error of the tool's what the store
 * makes of it where no COMMIT was sent.
 */
export async function beginInCallback<Tx>(
  run: (callback: (tx: Tx) => Promise<void>) => Promise<unknown>,
  coded: (error: unknown) => unknown,
): Promise<CallbackTransaction<Tx>> {
  const begun = Promise.withResolvers<Tx>()
  const end = Promise.withResolvers<void>()
  let lost: { readonly error: unknown } | undefined
  const settled = run((tx) => {
    begun.resolve(tx)
    return end.promise
  })
  settled.catch((error: unknown) => {
    lost = { error }
    begun.reject(error)
  })
  const tx = await begun.promise
  return {
    tx,
    commit: async () => {
      // Given up before COMMIT was sent: it did not take effect, which is more than is known of one that was not answered.
      if (lost) throw coded(lost.error)
      end.resolve()
      await settled
    },
    rollBack: async () => {
      end.reject(new Error('rolled back by Waybill'))
      // When the connection is gone, its server rolls back.
      await settled.catch(() => {})
    },
  }
}
