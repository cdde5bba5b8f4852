import { WaybillError } from '../core/errors.ts'
import type { RedriveFilter, RedriveItem, RedriveJob, RedriveOrder, RedriveStep } from '../core/redrive.ts'
import type { AuditNote, DeadLetterFilter, DeadLetterKey, Store } from '../core/store.ts'
import { checkNote } from './note.ts'

export interface RedriveOptions extends AuditNote {
  /** The same id again answers the job that is there: asking twice does it once. Default: a new one. */
  readonly id?: string
  /** How many per second, all instances together. Default: all at once. */
  readonly perSecond?: number
  /** Default 'oldest-first'. Within a sharding key of an ordered group the order of publishing holds either way (P21). */
  readonly order?: RedriveOrder
  /** Leaves out what has been redriven so often already. Default: nothing. */
  readonly generationsMax?: number
}

const idPattern = /^[\w.:-]{1,100}$/

/**
 * Redrive jobs: many dead letters delivered again at a rate, watched, paused and cancelled. Running instances of the service work on
 * them; a job survives them all.
 */
export class Redrives {
  readonly #open: () => Store<never>
  readonly #changed: () => void
  readonly #newId: () => string

  /** @param open answers the store, or throws `waybill.stopped` */
  constructor(open: () => Store<never>, changed: () => void, newId: () => string) {
    this.#open = open
    this.#changed = changed
    this.#newId = newId
  }

  /**
   * Freezes what the selection finds now and begins to redrive it.
   * @throws WaybillError `redrive.invalid`, `config.invalid` without a note, `dead-letter.unknown` for what cannot be redriven
   */
  async start(
    selection: DeadLetterFilter | readonly DeadLetterKey[],
    options: RedriveOptions,
  ): Promise<RedriveJob> {
    checkNote(options)
    const { id = this.#newId(), perSecond, order = 'oldest-first', generationsMax = Infinity } = options
    checkOptions({ id, perSecond, order, generationsMax })
    const { job } = await this.#open().redrives.create({
      id,
      selection,
      generationsMax,
      perSecond: perSecond ?? null,
      order,
      note: { by: options.by, because: options.because },
    })
    this.#changed()
    return job
  }

  /** Newest first, at most `limit` (100; 1000 at most). */
  async list(filter: RedriveFilter = {}): Promise<readonly RedriveJob[]> {
    return this.#open().redrives.list(filter)
  }

  /**
   * The job with what became of each of its messages.
   * @throws WaybillError `redrive.unknown`
   */
  async show(id: string): Promise<RedriveJob & { readonly items: readonly RedriveItem[] }> {
    const job = await this.#open().redrives.show(id)
    if (job) return job
    throw new WaybillError('redrive.unknown', `there is no redrive ${id} in this database`, { id })
  }

  /** Stops between two messages, until `resume`. One that has ended stays ended. @throws WaybillError `redrive.unknown` */
  async pause(id: string, note: AuditNote): Promise<RedriveJob> {
    return this.#change(id, 'paused', note)
  }

  /** @throws WaybillError `redrive.unknown` */
  async resume(id: string, note: AuditNote): Promise<RedriveJob> {
    return this.#change(id, 'running', note)
  }

  /** Ends it: what has not been redriven stays dead. @throws WaybillError `redrive.unknown` */
  async cancel(id: string, note: AuditNote): Promise<RedriveJob> {
    return this.#change(id, 'cancelled', note)
  }

  /**
   * Does what is due of all running jobs, as a started instance does by itself: for programs that start none. Call it again after
   * `nextInMs`.
   */
  async step(): Promise<RedriveStep> {
    return this.#open().redrives.step()
  }

  async #change(id: string, to: 'running' | 'paused' | 'cancelled', note: AuditNote): Promise<RedriveJob> {
    checkNote(note)
    const job = await this.#open().redrives.change(id, to, note)
    this.#changed()
    return job
  }
}

/** @throws WaybillError `redrive.invalid` */
function checkOptions({
  id,
  perSecond,
  order,
  generationsMax,
}: Record<'id' | 'perSecond' | 'order' | 'generationsMax', unknown>): void {
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new WaybillError('redrive.invalid', what, { id })
  }
  must(
    typeof id === 'string' && idPattern.test(id),
    'the id of a redrive must be 1 to 100 letters, digits or any of . : _ -',
  )
  must(
    perSecond === undefined || (typeof perSecond === 'number' && Number.isFinite(perSecond) && perSecond > 0),
    'perSecond must be a number above 0; leave it out to redrive all at once',
  )
  must(order === 'oldest-first' || order === 'newest-first', "order must be 'oldest-first' or 'newest-first'")
  must(typeof generationsMax === 'number' && generationsMax > 0, 'generationsMax must be a number above 0')
}
