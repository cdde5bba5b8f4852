import type { IncomingBatch, OpenTransport, OutgoingBatch, SendOutcome } from '../core/transport.ts'

export type Sent = OutgoingBatch['messages'][number]

export const sent = (proof = 'proof-1'): SendOutcome => ({ outcome: 'sent', proof })
export const unknown = (because = 'the connection broke'): SendOutcome => ({ outcome: 'unknown', because })
export const refused = (because = 'too large for this broker'): SendOutcome => ({
  outcome: 'refused',
  because,
})

/** A carrier that answers and brings what a test tells it to, and keeps what it was given. */
export class ScriptedCarrier implements OpenTransport {
  readonly batches: OutgoingBatch[] = []
  /** What was answered as sent, in order; what was sent again is there again. */
  readonly arrived: Sent[] = []
  answer: (batch: readonly Sent[]) => readonly SendOutcome[] | Promise<readonly SendOutcome[]> = (batch) =>
    batch.map(() => sent())
  /** What `receive` does. Default: nothing comes. */
  bring: OpenTransport['receive'] = (_land, signal) => aborted(signal)
  isClosed = false

  async send(batch: OutgoingBatch): Promise<readonly SendOutcome[]> {
    this.batches.push(batch)
    const outcomes = await this.answer(batch.messages)
    batch.messages.forEach((message, i) => {
      if (outcomes[i]?.outcome === 'sent') this.arrived.push(message)
    })
    return outcomes
  }

  /** The ids of each batch, in the order of sending. */
  get ids(): string[][] {
    return this.batches.map((batch) => batch.messages.map(({ id }) => id))
  }

  async subscribe(): Promise<void> {}

  receive(land: (batch: IncomingBatch) => Promise<void>, signal: AbortSignal): Promise<void> {
    return this.bring(land, signal)
  }

  async close(): Promise<void> {
    this.isClosed = true
  }
}

/** Resolves once the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
