import type { HeldQueue } from '../core/log-reading.ts'
import type { SettledPosition } from '../core/message.ts'
import type { Ports } from '../core/ports.ts'
import { resume } from '../core/resuming.ts'
import type { Store } from '../core/store.ts'
import type { CarrierPositions } from '../core/transport.ts'

/** How often a relay that has nothing to send looks whether the carrier still has all that it was sent. */
const lookAgainMs = 5_000
/** What is not ours to send is not told to the carrier each time: at most so much is read again in vain. */
const untoldMax = 10_000

/**
 * Up to where a carrier has a queue of this log, where it keeps that itself: the position that counts (P13). No batch is sent behind one
 * that the carrier does not have any more: it was put back to an older state, and what it lost is sent again, in order, with the same ids.
 */
export class CarrierPosition {
  readonly #store: Store<never>
  readonly #carrier: CarrierPositions
  readonly #held: HeldQueue
  readonly #source: string
  readonly #ports: Ports
  #epoch = ''
  /** Undefined while the carrier has nothing of the queue. */
  #recorded: number | undefined
  #lookedAt = 0

  constructor(store: Store<never>, carrier: CarrierPositions, held: HeldQueue, source: string, ports: Ports) {
    this.#store = store
    this.#carrier = carrier
    this.#held = held
    this.#source = source
    this.#ports = ports
  }

  async resume(): Promise<void> {
    const { topic, queue } = this.#held.lease
    const source = this.#source
    const sent = {
      recorded: () => this.#carrier.sentUpTo(source, topic, queue),
      record: (position: number, epoch: string) =>
        this.#carrier.record({ source, topic, queue, position, epoch }),
    }
    const resumed = await resume(this.#store, this.#held.lease, this.#held.position, sent, (because) =>
      this.#ports.log.error({ source, topic, queue }, because),
    )
    this.#held.position = resumed.position
    this.#epoch = resumed.epoch
    this.#recorded = resumed.isRecorded ? resumed.position : undefined
    this.#lookedAt = this.#ports.clock.monotonic()
  }

  /** While nothing is sent, nothing would tell. Answers whether there is something to send again. */
  async lookAgain(): Promise<boolean> {
    if (this.#ports.clock.monotonic() - this.#lookedAt < lookAgainMs) return false
    await this.#tell(this.#held.position)
    const before = this.#held.position
    await this.resume()
    return this.#held.position < before
  }

  /** What a batch settles that ends here. */
  upTo(position: number): SettledPosition {
    const { topic, queue } = this.#held.lease
    const settled = { source: this.#source, topic, queue, position, epoch: this.#epoch }
    return this.#recorded === undefined ? settled : { ...settled, after: this.#recorded }
  }

  /** All up to here is sent, or is not ours to send. */
  async passed(position: number, isTold: boolean): Promise<void> {
    if (isTold) this.#recorded = position
    else if (position - (this.#recorded ?? 0) >= untoldMax) await this.#tell(position)
  }

  async #tell(position: number): Promise<void> {
    if (position === (this.#recorded ?? 0)) return
    await this.#carrier.record(this.upTo(position))
    this.#recorded = position
  }
}
