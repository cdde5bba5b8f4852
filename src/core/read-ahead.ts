import type { Lease, ReadMessage, Store } from './store.ts'
import { WindowSize } from './window-size.ts'

/** Reads the windows of a queue, of a backlog the next one while this one is worked off. */
export class ReadAhead {
  readonly #store: Pick<Store<never>, 'read'>
  readonly #lease: Lease
  readonly #size: WindowSize
  /** How many the last window might have had. */
  #limit = 0
  #next:
    | {
        readonly after: number
        readonly limit: number
        readonly window: Promise<readonly ReadMessage[]>
      }
    | undefined

  constructor(store: Pick<Store<never>, 'read'>, lease: Lease, windowMax: number) {
    this.#store = store
    this.#lease = lease
    this.#size = new WindowSize(windowMax)
  }

  /**
   * What comes after a position: as of when the window before was read, if `begin` was called for that. That there is nothing is
   * answered only as of now: what was committed meanwhile, nobody would be woken for again.
   */
  async after(position: number): Promise<readonly ReadMessage[]> {
    const next = this.#next
    this.#next = undefined
    const ahead = next?.after === position ? await next.window : []
    this.#limit = next && ahead.length > 0 ? next.limit : this.#size.limit
    return ahead.length > 0 ? ahead : this.#store.read(this.#lease, position, this.#limit)
  }

  /** Begins to read what comes after this window, unless it was the last of what there is. */
  begin(window: readonly ReadMessage[]): void {
    this.#size.saw(window)
    if (window.length < this.#limit) return
    const { limit } = this.#size
    const after = window.at(-1)!.position
    const next = this.#store.read(this.#lease, after, limit)
    // Whoever awaits it hears of a failure; if it is not used, nobody needs to.
    next.catch(() => {})
    this.#next = { after, limit, window: next }
  }
}
