import type { Clock } from '../core/clock.ts'
import type { OwnerId } from '../core/ids.ts'
import type { Lease, Outlook, QueueName, Store } from '../core/store.ts'

/** The outlooks of one owner's queues. Those that are asked for in one turn are asked of the database at once. */
export class Outlooks {
  readonly #clock: Clock
  readonly #store: Store<never>
  readonly #owner: OwnerId
  #asking: Promise<ReadonlyMap<string, Outlook>> | undefined

  constructor(store: Store<never>, owner: OwnerId, clock: Clock) {
    this.#clock = clock
    this.#store = store
    this.#owner = owner
  }

  async of({ reader, topic, queue }: Lease): Promise<Outlook> {
    this.#asking ??= this.#ask()
    const outlooks = await this.#asking
    // Nothing waits; or the lease is lost, as its next write will say.
    return (
      outlooks.get(nameOf(reader, { topic, queue })) ?? {
        reader,
        topic,
        queue,
        dueAt: undefined,
        isPaused: false,
      }
    )
  }

  async #ask(): Promise<ReadonlyMap<string, Outlook>> {
    await new Promise<void>((turn) => void this.#clock.afterTurn(turn))
    this.#asking = undefined
    const outlooks = await this.#store.outlook(this.#owner)
    return new Map(outlooks.map((outlook) => [nameOf(outlook.reader, outlook), outlook]))
  }
}

function nameOf(reader: string, { topic, queue }: QueueName): string {
  return `${reader} ${topic}/${queue}`
}
