import type { OpenTransport, SendOutcome, Transport, Waybill, WaybillOptions } from 'waybill'
import { numberOf } from './orders.ts'
import { Settling } from './playing.ts'
import type { Workers } from './peer.ts'

type RelayOptions<Tx> = Required<Pick<WaybillOptions<Tx, 'async'>, 'transport' | 'ports'>>

/** A relay into a transport that says of everything, at once, that it was sent. */
export class Relaying<Tx> {
  readonly #counts = new Settling()
  #handled: (number: number) => void = () => {}

  readonly options: RelayOptions<Tx> = {
    transport: this.#transport(),
    // Told once the cursor has passed them, which is what must not be lost.
    ports: {
      telemetry: { count: (counter, _labels, by) => counter === 'relayed' && this.#counts.settle(by) },
    },
  }

  async start(instance: Waybill<Tx, 'async'>, handled: (number: number) => void): Promise<Workers> {
    this.#handled = handled
    await instance.start()
    return { settled: () => this.#counts.settled(), stop: () => instance.stop() }
  }

  #transport(): Transport {
    const open: OpenTransport = {
      send: async ({ messages }) => {
        for (const { key } of messages) this.#handled(numberOf(key!))
        this.#counts.begin(messages.length)
        return messages.map((): SendOutcome => ({ outcome: 'sent', proof: 'none' }))
      },
      async subscribe() {},
      receive: (_land, signal) =>
        new Promise((ended) => signal.addEventListener('abort', () => ended(), { once: true })),
      async close() {},
    }
    return {
      name: 'none',
      can: { keepsOrder: true, ordersRetries: true, durable: true, rewinds: true },
      open: async () => open,
    }
  }
}
