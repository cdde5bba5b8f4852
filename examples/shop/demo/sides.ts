/** What differs between the two sides: which programs run, and where to look for work that is not finished. */

import { join } from 'node:path'
import { BrokerClient } from '../broker/client.ts'
import { databasesVariable, filesIn } from '../shared/arguments.ts'
import { type Group, groups } from '../shared/order-paid.ts'
import type { Fleet, ProcessSpec } from './fleet.ts'
import type { Row } from './server.ts'
import type { AnyWitness, MaybePromise, Witness } from './witness.ts'

export type SideName = 'naive' | 'waybill'

/** How many messages of a group are where. Both sides are aimed at and waited for by these figures alone. */
export interface GroupWork {
  /** The consumer took them over, and their effect is not there yet. */
  readonly inHand: number
  /** On their way to the consumer, or in its hands. */
  readonly unfinished: number
}

export interface Side {
  readonly name: SideName
  /** Starts what stands beside the services (the broker process) and answers the services. */
  prepare(fleet: Fleet, orderPort: number): Promise<readonly ProcessSpec[]>
  /** @param of left out: all groups */
  work(of?: readonly Group[]): Promise<ReadonlyMap<Group, GroupWork>>
  /** Called when a consumer is dead: whatever it had in memory is gone. */
  died(group: Group): Promise<void>
  /** Order ids of a group that have no effect yet and are still kept somewhere. */
  pending(group: Group): Promise<ReadonlySet<string>>
  dead(group: Group): ReadonlySet<string>
}

/** A side whose databases may be on a server, so that each look at them takes its time. */
export type LiveSide = Omit<Side, 'dead'> & { dead(group: Group): MaybePromise<ReadonlySet<string>> }

const shopFolder = join(import.meta.dirname, '..')
/** As long as Waybill's leases on the other side. */
const brokerLeaseMs = 2000

function services(side: SideName, folder: string, orderPort: number, brokerUrl: string): ProcessSpec[] {
  const file = (program: string): string => join(shopFolder, side, program)
  const shared = ['--folder', folder, '--broker-url', brokerUrl]
  return [
    { name: 'order', file: file('order.ts'), args: [...shared, '--port', `${orderPort}`] },
    ...groups.map((group) => ({
      name: group,
      file: file('consumer.ts'),
      args: [...shared, '--group', group],
    })),
  ]
}

export function naiveSide(folder: string, witness: Witness, brokerPort: number): Side {
  const brokerUrl = `http://127.0.0.1:${brokerPort}`
  const broker = new BrokerClient(brokerUrl)
  /** Acknowledged by incarnations that are dead, without an effect. Nobody has these in hand any more. */
  const droppedByTheDead = new Map<Group, number>(groups.map((group) => [group, 0]))

  const taken = async (): Promise<Map<Group, { withoutEffect: number; atBroker: number }>> => {
    const health = await broker.health()
    return new Map(
      groups.map((group) => {
        const { acknowledged = 0, ready = health.published, leased = 0 } = health.groups[group] ?? {}
        return [group, { withoutEffect: acknowledged - witness.effectCount(group), atBroker: ready + leased }]
      }),
    )
  }
  const work = async (): Promise<Map<Group, GroupWork>> => {
    const perGroup = [...(await taken())].map(([group, { withoutEffect, atBroker }]) => {
      const inHand = Math.max(0, withoutEffect - (droppedByTheDead.get(group) ?? 0))
      return [group, { inHand, unfinished: inHand + atBroker }] as const
    })
    return new Map(perGroup)
  }
  return {
    name: 'naive',
    work,
    async prepare(fleet, orderPort) {
      const args = ['--folder', folder, '--port', `${brokerPort}`, '--lease-ms', `${brokerLeaseMs}`]
      await fleet.start({ name: 'broker', file: join(shopFolder, 'broker', 'main.ts'), args })
      return services('naive', folder, orderPort, brokerUrl)
    },
    async died(group) {
      droppedByTheDead.set(group, (await taken()).get(group)?.withoutEffect ?? 0)
    },
    pending: async (group) => new Set(await broker.pendingKeys(group)),
    dead: () => new Set(),
  }
}

/** `pending` and `dead` as of now; with a witness of SQLite files `dead` is there at once. */
export function waybillSide(folder: string, witness: Witness, databases?: string): Side
export function waybillSide(folder: string, witness: AnyWitness, databases?: string): LiveSide
export function waybillSide(folder: string, witness: AnyWitness, databases = filesIn(folder)): LiveSide {
  const work = async (group: Group, committed: number): Promise<GroupWork> => {
    const [row] = await witness.rows(group, 'effects', countsQuery)
    const [effects, dead, landed] = ['effects', 'dead', 'landed'].map((name) => Number(row?.[name] ?? 0))
    const unfinished = Math.max(0, committed - effects! - dead!)
    return { inHand: Math.min(unfinished, Math.max(0, landed! - effects! - dead!)), unfinished }
  }
  return {
    name: 'waybill',
    prepare: (_fleet, orderPort) => {
      const env = { [databasesVariable]: databases }
      return Promise.resolve(services('waybill', folder, orderPort, '').map((spec) => ({ ...spec, env })))
    },
    async work(of = groups) {
      const committed = await witness.committedCount()
      return new Map(
        await Promise.all(of.map(async (group) => [group, await work(group, committed)] as const)),
      )
    },
    died: () => Promise.resolve(),
    pending: (group) => pendingInWaybill(witness, group),
    dead(group) {
      const query = `select ${witness.keyColumn} as order_id from waybill_dead_letters`
      const letters = witness.rows(group, 'waybill_dead_letters', query)
      return letters instanceof Promise ? letters.then(orderIds) : orderIds(letters)
    },
  }
}

// Waybill's tables are private; only a witness that must not trust the library may read them.
const countsQuery = `select (select count(*) from effects) as effects,
  (select count(*) from waybill_dead_letters) as dead, (select count(*) from waybill_messages) as landed`
const settledQuery = `select message_id from waybill_dispositions where state in ('done', 'discarded', 'filtered')`

/** Published and without a receipt: still in one of the logs between the order service and the group. */
async function pendingInWaybill(witness: AnyWitness, group: Group): Promise<Set<string>> {
  const receipts = await witness.rows(group, 'waybill_dispositions', settledQuery)
  const isSettled = new Set(receipts.map((row) => row['message_id']))
  const query = `select id, ${witness.keyColumn} as order_id from waybill_messages`
  const published = await witness.rows('order', 'waybill_messages', query)
  return orderIds(published.filter((row) => !isSettled.has(row['id'])))
}

function orderIds(rows: readonly Row[]): Set<string> {
  return new Set(rows.map((row) => String(row['order_id'])))
}
