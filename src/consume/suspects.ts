import { isWaybillError, reasonOf } from '../core/errors.ts'
import type { MessageId } from '../core/ids.ts'
import type { HeldQueue } from '../core/log-reading.ts'
import type { LoggedMessage } from '../core/message.ts'
import type { DueMessage, Lease, ReadMessage, Settlement } from '../core/store.ts'
import { admitted } from './admission.ts'
import { Deliverer } from './deliverer.ts'
import type { Alone } from './handler-gate.ts'
import type { GroupReaderParts } from './parts.ts'
import type { Subscription } from './subscription.ts'

/** A message during which its process died this often, with nothing else running, is poison. */
const crashesMax = 3

/**
 * After a predecessor died: whatever it may have been handling runs alone, each marked before its body is even loaded. A process
 * that dies again blames the marked message, and no bystander (P17).
 */
export class Suspects<Tx> {
  readonly #parts: GroupReaderParts<Tx>
  readonly #subscription: Subscription<Tx>
  readonly #held: HeldQueue
  /** What becomes of a message that needs no handler, or must wait for another. */
  readonly #withoutHandler: (message: ReadMessage) => Settlement | undefined

  constructor(
    parts: GroupReaderParts<Tx>,
    subscription: Subscription<Tx>,
    held: HeldQueue,
    withoutHandler: (message: ReadMessage) => Settlement | undefined,
  ) {
    this.#parts = parts
    this.#subscription = subscription
    this.#held = held
    this.#withoutHandler = withoutHandler
  }

  /** Works through the suspect part of the log, one message at a time. */
  async runFromLog(): Promise<void> {
    const { store } = this.#parts.database
    const { lease, draining } = this.#held
    for (; !draining.aborted && this.#held.position < lease.suspectThrough; await this.#held.breathe()) {
      const next = await store.peek(lease, this.#held.position)
      if (!next || next.position > lease.suspectThrough) return
      const state = (await store.dispositions(lease, [next.id])).get(next.id)
      if (state === undefined || state === 'running') {
        const hasRun = await this.#runAlone(next, 0, async () => {
          const message = await store.load(lease, next.position)
          if (message) await this.#deliver(message, this.#withoutHandler(message))
        })
        if (!hasRun) return
      }
      await store.advance(lease, next.position)
      this.#held.position = next.position
    }
  }

  includesDue(message: DueMessage): boolean {
    return message.disposition === 'running' || message.dueAt <= this.#held.lease.suspectDueBefore
  }

  async runDue(message: DueMessage): Promise<void> {
    await this.#runAlone(message, message.attempts, () => this.#deliver(message, undefined, message.attempts))
  }

  /** A message that is still marked though its part of the log is no longer suspect: the next one to read. */
  async runFirst(message: ReadMessage): Promise<void> {
    const hasRun = await this.#runAlone(message, 0, () =>
      this.#deliver(message, this.#withoutHandler(message)),
    )
    if (!hasRun) return
    await this.#parts.database.store.advance(this.#held.lease, message.position)
    this.#held.position = message.position
  }

  async #deliver(message: LoggedMessage, settlement: Settlement | undefined, attempts = 0): Promise<void> {
    const deliverer = new Deliverer(this.#parts, this.#subscription, this.#held)
    if (settlement) await deliverer.settle([settlement])
    else await deliverer.deliver({ messages: [message], from: 'running', attempts })
  }

  /** Answers false if the queue is to be left before the message could begin. */
  #runAlone(
    suspect: Pick<LoggedMessage, 'id' | 'position'>,
    attempts: number,
    run: () => Promise<void>,
  ): Promise<boolean> {
    const runInTurn = async (turn: Alone): Promise<void> => {
      const { store } = this.#parts.database
      const { isAlone } = turn
      const crashes = await store.markRunning(this.#held.lease, suspect, isAlone)
      if (crashes >= crashesMax) await this.#bury(suspect, attempts, crashes)
      else if (isAlone) await this.#runBlamed(suspect.id, turn, run)
      else await run()
    }
    // Not alone while it waits for a dependency: that would keep all other groups waiting.
    return admitted(this.#parts.dependencies, this.#held, () => this.#parts.gate.alone(runInTurn))
  }

  /** Whoever finds the mark takes the process for dead, so the mark is taken back whenever the run ends otherwise. */
  async #runBlamed(id: MessageId, turn: Alone, run: () => Promise<void>): Promise<void> {
    const { lease, lost } = this.#held
    let excused: Promise<void> | undefined
    const excuse = (): Promise<void> => (excused ??= this.#excuse(lease, id))
    // A handler that is aborted, because the time to stop is up, may ignore it and be left behind.
    lost.addEventListener('abort', excuse)
    turn.noLonger = excuse
    if (!turn.isAlone || lost.aborted) await excuse()
    try {
      await run()
    } catch (error) {
      await excuse()
      throw error
    } finally {
      lost.removeEventListener('abort', excuse)
    }
  }

  async #excuse(lease: Lease, id: MessageId): Promise<void> {
    try {
      await this.#parts.database.store.excuse(lease, id)
    } catch (error) {
      // A successor that has the lease by now has also found the mark.
      if (isWaybillError(error, 'store.lease-lost')) return
      this.#parts.ports.log.warn(
        { err: error, group: lease.reader, id },
        `the mark of a message that ran alone could not be taken back: ${reasonOf(error)}`,
      )
    }
  }

  async #bury(
    suspect: Pick<LoggedMessage, 'id' | 'position'>,
    attempts: number,
    crashes: number,
  ): Promise<void> {
    const { store } = this.#parts.database
    const { lease } = this.#held
    const message = 'body' in suspect ? (suspect as LoggedMessage) : await store.load(lease, suspect.position)
    if (!message) return
    const because = `its process died ${crashes} times while it ran alone`
    await new Deliverer(this.#parts, this.#subscription, this.#held).settle([
      {
        message,
        state: 'dead',
        attempts,
        cause: 'handler.poison',
        because,
        releaseFollower: this.#subscription.settings.ordered,
      },
    ])
    this.#parts.ports.log.error(
      { group: lease.reader, topic: lease.topic, id: suspect.id, crashes },
      `a message was dead-lettered as poison: ${because}`,
    )
  }
}
