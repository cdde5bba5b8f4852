import type { StoredGroup } from '../core/groups.ts'
import type { AuditNote, Store } from '../core/store.ts'
import { checkNote } from './note.ts'

/** The consumer groups of this database: to look at, to hold and let go on, to remove for good. */
export class Groups {
  readonly #open: () => Store<never>
  readonly #changed: () => void

  /** @param open answers the store, or throws `waybill.stopped` */
  constructor(open: () => Store<never>, changed: () => void) {
    this.#open = open
    this.#changed = changed
  }

  /** By name. */
  async list(): Promise<readonly StoredGroup[]> {
    return this.#open().groups.list()
  }

  /**
   * Holds a group in all its instances: what runs is finished, nothing new is begun, nothing is lost or charged. For ever, until `resume`.
   * @returns false if it was paused already
   * @throws WaybillError `group.unknown`
   */
  async pause(group: string, note: AuditNote): Promise<boolean> {
    checkNote(note)
    return this.#open().groups.pause(group, note)
  }

  /**
   * @returns false if it was not paused
   * @throws WaybillError `group.unknown`
   */
  async resume(group: string, note: AuditNote): Promise<boolean> {
    checkNote(note)
    const resumed = await this.#open().groups.resume(group, note)
    this.#changed()
    return resumed
  }

  /**
   * Forgets a group that nobody runs any more: the one way in which a group leaves (P26).
   * @param options.abandon discards its open messages; without it, a group that has some is refused
   * @throws WaybillError `group.unknown`, `group.in-use`, `group.not-empty`
   */
  async remove(group: string, note: AuditNote, options: { readonly abandon?: boolean } = {}): Promise<void> {
    checkNote(note)
    await this.#open().groups.remove(group, note, { abandon: options.abandon ?? false })
  }
}
