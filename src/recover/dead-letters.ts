import type { AuditNote, DeadLetter, DeadLetterFilter, DeadLetterKey, Store } from '../core/store.ts'
import { checkNote } from './note.ts'

/** What failed for good, in plain sight: to look at, to deliver again, or to give up on purpose. */
export class DeadLetters {
  readonly #open: () => Store<never>
  readonly #changed: () => void

  /** @param open answers the store, or throws `waybill.stopped` */
  constructor(open: () => Store<never>, changed: () => void) {
    this.#open = open
    this.#changed = changed
  }

  /** Oldest first, at most `limit` (100; 1000 at most). The group `@relay` has what a transport refused, `@land` what could not enter the log. */
  async list(filter: DeadLetterFilter = {}): Promise<readonly DeadLetter[]> {
    return this.#open().deadLetters(filter)
  }

  /**
   * Delivers dead letters again, with fresh retries, in the order of their keys. Asking twice does it once.
   * @returns how many of them were dead letters and are due now
   * @throws WaybillError `dead-letter.unknown` for one that cannot be redriven
   */
  async redrive(selection: readonly DeadLetterKey[], note: AuditNote): Promise<number> {
    checkNote(note)
    const count = await this.#open().redrive(selection, note)
    this.#changed()
    return count
  }

  /** Gives dead letters up for good; later messages of their keys go on. Kept in the audit. */
  async discard(selection: readonly DeadLetterKey[], note: AuditNote): Promise<number> {
    checkNote(note)
    const count = await this.#open().discardDead(selection, note)
    this.#changed()
    return count
  }
}
