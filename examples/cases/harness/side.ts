import { join } from 'node:path'
import { temporaryFolder, until } from 'waybill/testing'
import { Fleet } from '../../shop/demo/fleet.ts'
import { type Side, type SideName, naiveSide, waybillSide } from '../../shop/demo/sides.ts'
import { Witness } from '../../shop/demo/witness.ts'
import { type Ledger, balance } from '../../shop/ledger.ts'
import type { Group } from '../../shop/shared/order-paid.ts'
import { BrokerProcess } from './broker-process.ts'
import { Network } from './network.ts'
import { Services } from './services.ts'

const waitingInWaybill = {
  waybill_halves: "select key from waybill_halves where state in ('prepared', 'in-doubt')",
  waybill_delayed: 'select key from waybill_delayed',
}

const sentByWaybill = `select m.id, m.key from waybill_messages m
  join waybill_v_lag l on l.reader = '@relay' and l.topic = m.topic and l.queue = m.queue
  where m.source is null and m.pos <= l.position`

export interface SideOptions {
  /** How long the broker hides a delivery from its group. Default 1 s. */
  readonly leaseMs?: number
  /** The services whose databases have the committed orders, for business data that is not in Waybill's database. Default 'order'. */
  readonly ordersIn?: readonly string[]
}

/**
 * One side of a case, naive or with Waybill: its services, the example broker, the network between them, and a witness who counts
 * what took effect. Nothing that was started here outlives `close`.
 *
 *   await using side = await CaseSide.open('naive')
 *   await side.services.start({ name: 'coupon', program })
 *   const { dead } = await side.services.killAt('coupon', 'worked, not acknowledged')
 *   …
 *   await dead
 *   await side.services.restart('coupon')
 *   await until('the coupon is there twice', () => side.effects('coupon') === 2)
 *   console.log((await side.ledger(['coupon'])).total)
 */
export class CaseSide {
  readonly name: SideName
  readonly services: Services
  readonly broker: BrokerProcess
  /** Between the services and the broker. */
  readonly network: Network
  readonly #fleet: Fleet
  readonly #folder: ReturnType<typeof temporaryFolder>
  readonly #witness: Witness
  readonly #books: Side
  readonly #ordersIn: readonly string[]
  /** Whatever ends this process, its children end with it and its folder goes. An 'exit' listener must be synchronous. */
  readonly #atExit = (): void => {
    this.#fleet.killAllNow()
    this.#folder.remove()
  }

  private constructor(
    name: SideName,
    parts: {
      folder: ReturnType<typeof temporaryFolder>
      fleet: Fleet
      broker: BrokerProcess
      network: Network
      ordersIn: readonly string[]
    },
  ) {
    const { folder, fleet, broker, network, ordersIn } = parts
    const services = folder.file('services')
    this.name = name
    this.broker = broker
    this.network = network
    this.services = new Services(fleet, services, network.url)
    this.#fleet = fleet
    this.#folder = folder
    this.#ordersIn = ordersIn
    this.#witness = new Witness(services, (service) => join(service, `${service}.db`))
    this.#books =
      name === 'naive'
        ? naiveSide(services, this.#witness, broker.port)
        : waybillSide(services, this.#witness)
    process.once('exit', this.#atExit)
  }

  /** With the broker running and nothing else. */
  static async open(name: SideName, options: SideOptions = {}): Promise<CaseSide> {
    const { ordersIn = ['order'], ...ofBroker } = options
    const folder = temporaryFolder()
    const fleet = new Fleet(folder.path)
    const broker = await BrokerProcess.start({ fleet, folder: folder.file('broker'), ...ofBroker })
    return new CaseSide(name, { folder, fleet, broker, ordersIn, network: await Network.to(broker.port) })
  }

  /** Rejects when a process ended that nobody ended, with the end of its log. */
  get failure(): Promise<never> {
    return this.#fleet.failure
  }

  /** Waits for it, but not for ever, and not once a process has ended that nobody ended. */
  async within<R>(withinMs: number, what: string, work: Promise<R>): Promise<R> {
    const tooLate = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => tooLate.reject(new Error(`${this.name}: waited ${withinMs} ms in vain until ${what}`)),
      withinMs,
    )
    try {
      return await Promise.race([work, this.failure, tooLate.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  /** How many orders are committed. */
  committed(): number {
    return this.#committed().length
  }

  /** How many effects a group has had. */
  effects(group: Group): number {
    return this.#witness.effectCount(group)
  }

  /** Rows of a service's database, for what only one case asks. */
  rows(service: string, table: string, query: string): readonly Readonly<Record<string, unknown>>[] {
    return this.#witness.rows(service, table, query)
  }

  /**
   * The books as of now: once, lost, duplicate, phantom, stuck and dead, in all, per group, and who is not *once*. The broker must be up.
   * @param only the orders to look at; left out: all
   */
  async ledger(groups: readonly Group[], only?: readonly string[]): Promise<Ledger> {
    const isAsked = (orderId: string): boolean => only?.includes(orderId) ?? true
    const pending = await Promise.all(
      groups.map(async (group) => [group, await this.#pending(group)] as const),
    )
    const deadOf = (group: Group): Set<string> => new Set([...this.#books.dead(group)].filter(isAsked))
    return balance({
      groups,
      committed: new Set(this.#committed().filter(isAsked)),
      effects: groups.flatMap((group) => this.#witness.effects(group)).filter((one) => isAsked(one.orderId)),
      pending: new Map(pending),
      dead: new Map(groups.map((group) => [group, deadOf(group)])),
    })
  }

  /**
   * Waits until no committed order is pending any more: each has had an effect, is dead, or is known nowhere. What a naive consumer has
   * only in its memory is known nowhere.
   */
  async untilNothingIsPending(groups: readonly Group[], withinMs?: number): Promise<void> {
    const isSettled = async (): Promise<boolean> => (await this.ledger(groups)).total.stuck === 0
    await Promise.race([until('nothing is pending', isSettled, withinMs), this.failure])
  }

  async close(): Promise<void> {
    process.off('exit', this.#atExit)
    await this.#fleet.stopAll()
    await this.network.close()
    this.#witness.close()
    this.#folder.remove()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #committed(): readonly string[] {
    const rows = this.#ordersIn.flatMap((service) => this.rows(service, 'orders', 'select id from orders'))
    return rows.map((row) => String(row['id']))
  }

  /** With Waybill also what is not in the log yet, half messages and delayed ones, and not what was sent and has vanished since. */
  async #pending(group: Group): Promise<ReadonlySet<string>> {
    const vanished = this.#vanished(group)
    const pending = [...(await this.#books.pending(group))].filter((key) => !vanished.has(key))
    const waiting = Object.entries(waitingInWaybill).flatMap(([table, query]) =>
      this.rows('order', table, query),
    )
    return new Set([...pending, ...waiting.map((row) => String(row['key']))])
  }

  /** The keys of what Waybill has sent and neither the broker's files nor the group's database have. Waybill's own ledger is not asked. */
  #vanished(group: Group): ReadonlySet<string> {
    const sent = this.rows('order', 'waybill_v_lag', sentByWaybill)
    if (sent.length === 0) return new Set()
    const atBroker = this.broker.storedIds()
    const landed = this.rows(group, 'waybill_messages', 'select id from waybill_messages')
    const isThere = new Set([...atBroker, ...landed.map((row) => row['id'])])
    return new Set(sent.filter((row) => !isThere.has(row['id'])).map((row) => String(row['key'])))
  }
}
