import { join } from 'node:path'
import type { Fleet } from './fleet.ts'

export interface PaymentProgress {
  readonly started: number
  readonly answered: number
  readonly repeated: number
}

/** The controller's view of the payment process: how far it is, and the tap that lets orders through. */
export class Payments {
  readonly #fleet: Fleet
  #progress: PaymentProgress = { started: 0, answered: 0, repeated: 0 }
  #openedUpTo = 0

  constructor(fleet: Fleet) {
    this.#fleet = fleet
    fleet.onMessage('payment', (facts) => {
      if (facts['kind'] === 'progress') this.#progress = facts as unknown as PaymentProgress
    })
  }

  get progress(): PaymentProgress {
    return this.#progress
  }

  get openedUpTo(): number {
    return this.#openedUpTo
  }

  get unanswered(): number {
    return this.#progress.started - this.#progress.answered
  }

  async start(ordersFile: string, orderPort: number): Promise<void> {
    const file = join(import.meta.dirname, '..', 'shared', 'payment.ts')
    const args = ['--orders', ordersFile, '--url', `http://127.0.0.1:${orderPort}`]
    await this.#fleet.start({ name: 'payment', file, args })
  }

  open(upTo: number): void {
    this.#openedUpTo = upTo
    this.#fleet.send('payment', { kind: 'open', upTo })
  }
}
