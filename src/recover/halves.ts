import type { Decision, HalfFilter, StoredHalf } from '../core/half.ts'
import type { MessageId } from '../core/ids.ts'
import type { AuditNote, Store } from '../core/store.ts'
import { checkNote } from './note.ts'

/** Undecided half messages in plain sight: to look at, and for a person to decide. */
export class Halves {
  readonly #open: () => Store<never>
  readonly #changed: () => void

  /** @param open answers the store, or throws `waybill.stopped` */
  constructor(open: () => Store<never>, changed: () => void) {
    this.#open = open
    this.#changed = changed
  }

  /** Oldest first; prepared and in doubt unless other states are asked for. At most `limit` (100; 1000 at most). */
  async list(filter: HalfFilter = {}): Promise<readonly StoredHalf[]> {
    return this.#open().halves.list(filter)
  }

  /**
   * A person's decision, final like any other.
   * @throws WaybillError `half.unknown`, `half.already-decided`
   */
  async decide(id: MessageId, decision: Decision, note: AuditNote): Promise<void> {
    checkNote(note)
    await this.#open().halves.decide(id, decision, 'person', `${note.by}: ${note.because}`)
    this.#changed()
  }
}
