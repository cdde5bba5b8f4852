import type { Clock } from '../../core/clock.ts'
import type { OwnerId } from '../../core/ids.ts'
import type { Outlook, QueueName } from '../../core/store.ts'
import { outlookOf } from '../sql/outlook.ts'
import { type StatementTexts, inSchema } from './connection.ts'
import type { PgDriver, PgRow } from './driver.ts'
import { coded } from './errors.ts'
import { runMax } from './places.ts'
import { Told } from './told.ts'

/** Rows that one window portion takes: enough to be cheap for each, few enough to be short. No run holds more. */
const portion = runMax

const rebase = 'select waybill_rebase() as began where not waybill_is_awake()'

const answer = 'taken_rows, at_generation, ends::text, told::text, outlooks::text, has_others'
/** As Waybill makes them. Another one would have to be quoted. */
const plainOwner = /^[\w-]+$/

/** What a portion answered. */
export interface Portion {
  readonly taken: number
  readonly told: Told
  /** Of the owner that asked for it; undefined if nobody did. */
  readonly outlooks: readonly Outlook[] | undefined
}

/**
 * Puts what is newly committed into sequence, for all readers of this process at once: whoever asks while one is on its way waits for
 * the next, since the first may have looked too early. Remembers where queues end, so that a reader that has read everything asks
 * for nothing but whether there is anything new.
 */
export class Sequencing {
  readonly #driver: PgDriver<never>
  readonly #clock: Clock
  readonly #schema: string
  readonly #ends = new Map<string, number>()
  /** Grows whenever some queue gets new places. */
  #generation = 0
  #isBehind = false
  #running: Promise<void> | undefined
  #next: Promise<Portion> | undefined
  /** Whether somebody waits for the next one, and who wants to know with it what else waits. */
  #isAwaited = false
  #owner: OwnerId | undefined
  /** Who wants to know with it whether other instances read here, and what the last one found. */
  #asking: PromiseWithResolvers<boolean> | undefined
  #hadOthers = false

  constructor(driver: PgDriver<never>, texts: StatementTexts, clock: Clock) {
    this.#clock = clock
    this.#driver = driver
    this.#schema = texts.schema
  }

  /** Notices that the database may be in an older state than the one that is remembered (P12). Answers whether a new epoch began. */
  async rebase(): Promise<boolean> {
    try {
      const [row] = await this.#driver.alone(inSchema(rebase, this.#schema))
      return row?.['began'] === true
    } catch (error) {
      throw coded(error)
    }
  }

  /** The last place of a queue, as of the last portion. */
  endOf(queue: QueueName): number {
    return this.#ends.get(nameOf(queue)) ?? 0
  }

  /** Whether the last portion left some for the next. */
  get isBehind(): boolean {
    return this.#isBehind
  }

  /** Everything that was committed before the call. */
  async all(): Promise<void> {
    while ((await this.portion()).taken === portion);
  }

  /** Those who ask in one turn share one. */
  portion(): Promise<Portion> {
    this.#isAwaited = true
    return this.#shared()
  }

  /**
   * Begins the next portion of a backlog, for a reader that will have read all places of its queue soon. If it fails, that reader will
   * hear of it once it asks itself.
   */
  ahead(): void {
    if (this.#isBehind) this.#shared().catch(ignore)
  }

  /**
   * The outlook, from a portion that somebody asked for in this turn and that begins at once; undefined where there is none, and it has
   * to be asked for itself.
   */
  outlook(owner: OwnerId): Promise<readonly Outlook[] | undefined> | undefined {
    const isOthers = this.#owner !== undefined && this.#owner !== owner
    if (!this.#next || !this.#isAwaited || this.#running || isOthers || !plainOwner.test(owner))
      return undefined
    this.#owner = owner
    return this.#next.then(({ outlooks }) => outlooks)
  }

  /**
   * Whether no other instance reads here, as the portion finds it that those ask for who were woken just now: in the next turn they are
   * awake, and in the one after they have asked. False where nobody does, and where there were others before, who are not to wait for it.
   */
  isAlone(): Promise<boolean> {
    const asking = Promise.withResolvers<boolean>()
    this.#asking = asking
    this.#clock.afterTurn(() =>
      this.#clock.afterTurn(() => {
        if (this.#hadOthers) asking.resolve(false)
        if (this.#asking !== asking || this.#next) return
        this.#asking = undefined
        asking.resolve(false)
      }),
    )
    return asking.promise
  }

  #shared(): Promise<Portion> {
    this.#next ??= this.#begin()
    return this.#next
  }

  async #begin(): Promise<Portion> {
    await new Promise<void>((turn) => void this.#clock.afterTurn(turn))
    await this.#running
    const owner = this.#owner
    this.#next = undefined
    this.#isAwaited = false
    this.#owner = undefined
    const taking = this.#once(owner)
    const running = taking.then(ignore, ignore).then(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return taking
  }

  async #once(owner: OwnerId | undefined): Promise<Portion> {
    const asking = this.#asking
    this.#asking = undefined
    const asker = owner === undefined ? 'null' : `'${owner}'`
    const asked = `${portion}, ${this.#generation}, ${asker}, ${asking !== undefined}`
    try {
      const [row] = await this.#driver.alone(
        `select ${answer} from ${inSchema('waybill_sequence', this.#schema)}(${asked})`,
      )
      if (asking) this.#hadOthers = row!['has_others'] === true
      asking?.resolve(!this.#hadOthers)
      return this.#remember(row!, owner)
    } catch (error) {
      asking?.resolve(false)
      throw coded(error)
    }
  }

  #remember(row: PgRow, owner: OwnerId | undefined): Portion {
    this.#generation = Number(row['at_generation'])
    const ends = JSON.parse(row['ends'] ?? '[]') as readonly [string, number, number][]
    for (const [topic, queue, end] of ends) this.#ends.set(nameOf({ topic, queue }), end)
    const taken = Number(row['taken_rows'])
    this.#isBehind = taken === portion
    return { taken, told: new Told(row['told']), outlooks: toOutlooks(owner, row['outlooks']) }
  }
}

function toOutlooks(owner: OwnerId | undefined, json: string | null): readonly Outlook[] | undefined {
  return owner === undefined ? undefined : (JSON.parse(json ?? '[]') as readonly PgRow[]).map(outlookOf)
}

function nameOf({ topic, queue }: QueueName): string {
  return `${topic}/${queue}`
}

const ignore = (): void => {}
