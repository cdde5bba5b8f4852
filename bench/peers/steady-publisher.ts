import { setTimeout as sleep } from 'node:timers/promises'
import { nowMs } from '../harness/clock.ts'
import { Random } from '../harness/random.ts'
import type { OpenPeer } from './peer.ts'
import { newPool } from './waybill.ts'

export interface Pace {
  readonly messages: number
  readonly perSecond: number
  readonly seed: number
}

export interface Publishing {
  readonly url: string
  /** The contestant's. */
  readonly name: string
}

/**
 * Enqueues numbered messages, each in a transaction of the user's own, and answers when each was committed. The intervals are random,
 * from half to one and a half times the mean: even ones could keep step with some timer.
 */
export async function publishSteadily(
  url: string,
  { messages, perSecond, seed }: Pace,
  peer: Pick<OpenPeer, 'enqueue'>,
): Promise<readonly number[]> {
  const random = new Random(seed)
  const pool = newPool(url, 1)
  const client = await pool.connect()
  const committed: number[] = []
  let nextMs = nowMs()
  for (let number = 0; number < messages; number++) {
    nextMs += (1000 / perSecond) * (0.5 + random.next())
    await sleep(Math.max(0, nextMs - nowMs()))
    await client.query('begin')
    await peer.enqueue(client, number)
    await client.query('commit')
    committed.push(nowMs())
  }
  client.release()
  await pool.end()
  return committed
}
