/** What differs between the two sides: which programs run, and where to look for work that is not finished. */

import { join } from 'node:path'
import { BrokerClient } from '../broker/client.ts'
import { type Group, groups } from '../shared/order-paid.ts'
import type { Fleet, ProcessSpec } from './fleet.ts'
import type { Witness } from './witness.ts'

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
  work(): Promise<ReadonlyMap<Group, GroupWork>>
  /** Called when a consumer is dead: whatever it had in memory is gone. */
  died(group: Group): Promise<void>
  /** Order ids of a group that have no effect yet and are still kept somewhere. */
  pending(group: Group): Promise<ReadonlySet<string>>
  dead(group: Group): ReadonlySet<string>
}

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

export function waybillSide(folder: string, witness: Witness): Side {
  const count = (group: Group, view: string, query: string): number => {
    const [row] = witness.rows(group, view, query)
    return Number(row?.['count'] ?? 0)
  }
  const inHand = (group: Group): number => {
    const lag = `select sum(waiting) as count from waybill_v_lag where reader = '${group}'`
    const open = `select count(*) as count from waybill_v_dispositions where state in ('running', 'retrying', 'held')`
    return count(group, 'waybill_v_lag', lag) + count(group, 'waybill_v_dispositions', open)
  }
  const dead = (group: Group): ReadonlySet<string> => {
    const letters = witness.rows(group, 'waybill_v_dead_letters', 'select key from waybill_v_dead_letters')
    return new Set(letters.map((row) => String(row['key'])))
  }
  return {
    name: 'waybill',
    prepare: (_fleet, orderPort) => Promise.resolve(services('waybill', folder, orderPort, '')),
    work() {
      const committed = witness.committedCount()
      const perGroup = groups.map((group) => {
        const unfinished = Math.max(0, committed - witness.effectCount(group) - dead(group).size)
        return [group, { inHand: Math.min(unfinished, inHand(group)), unfinished }] as const
      })
      return Promise.resolve(new Map(perGroup))
    },
    died: () => Promise.resolve(),
    pending: (group) => Promise.resolve(pendingInWaybill(witness, group)),
    dead,
  }
}

/** Published and without a receipt: still in one of the logs between the order service and the group. */
function pendingInWaybill(witness: Witness, group: Group): Set<string> {
  const settled = `select message_id from waybill_v_dispositions where state in ('done', 'discarded', 'filtered')`
  const receipts = witness.rows(group, 'waybill_v_dispositions', settled).map((row) => row['message_id'])
  const isSettled = new Set(receipts)
  // Waybill's tables are private; only a witness that must not trust the library may read one.
  const published = witness.rows('order', 'waybill_messages', 'select id, key from waybill_messages')
  return new Set(published.filter((row) => !isSettled.has(row['id'])).map((row) => String(row['key'])))
}
