import type { Ports } from '../../core/ports.ts'
import type { StatementTexts } from './connection.ts'
import type { PgDriver } from './driver.ts'
import type { Sequencing } from './sequencing.ts'

/** Publishers that commit one after the other tell the other processes at most this often. */
const tellEveryMs = 5
/** Those that commit so many times in between, less often: their readers have work anyway. */
const manyCommits = 4
const tellOfManyEveryMs = 20

/** A notice need not be on disk. */
const notify = "select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"

/**
 * Tells readers that the log has grown: at once in this process, in the others by a NOTIFY outside of every business transaction. Where
 * readers of this process are about to put what is new in sequence, they find out whether there are others: a NOTIFY beside their
 * statement costs them more than it seems.
 */
export class Notices {
  readonly #driver: PgDriver<never>
  readonly #channel: string
  /** Says whose notices are this one's own, which it need not hear. */
  readonly #sender: string
  readonly #sequencing: Sequencing
  readonly #ports: Ports
  readonly #watching = new Set<() => void>()
  #stopListening: (() => void) | undefined
  #isTelling = false
  /** Commits since the others were told last. */
  #newSince = 0

  constructor(driver: PgDriver<never>, texts: StatementTexts, ports: Ports, sequencing: Sequencing) {
    this.#driver = driver
    this.#channel = `waybill_${texts.schema}`
    this.#sender = ports.ids.owner()
    this.#sequencing = sequencing
    this.#ports = ports
  }

  watch(changed: () => void): () => void {
    this.#watching.add(changed)
    this.#stopListening ??= this.#driver.listen(this.#channel, (sender) => {
      if (sender !== this.#sender) this.#changed()
    })
    return () => {
      this.#watching.delete(changed)
      if (this.#watching.size === 0) this.stop()
    }
  }

  tell(): void {
    this.#changed()
    this.#newSince++
    if (this.#isTelling) return
    this.#isTelling = true
    void this.#tellOthers()
  }

  stop(): void {
    this.#stopListening?.()
    this.#stopListening = undefined
  }

  async #tellOthers(): Promise<void> {
    this.#newSince = 0
    try {
      const isAlone = this.#watching.size > 0 && (await this.#sequencing.isAlone())
      if (!isAlone) await this.#driver.query(notify, [this.#channel, this.#sender])
    } catch {
      // They poll.
    }
    this.#ports.clock.after(tellEveryMs, () => {
      if (this.#newSince < manyCommits) this.#goOn()
      else this.#ports.clock.after(tellOfManyEveryMs - tellEveryMs, () => this.#goOn())
    })
  }

  #goOn(): void {
    if (this.#newSince > 0) void this.#tellOthers()
    else this.#isTelling = false
  }

  #changed(): void {
    for (const changed of this.#watching) changed()
  }
}
