import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { callJson } from '../shared/http.ts'
import { BrokerClient } from './client.ts'

const program = join(import.meta.dirname, 'main.ts')
const order = { topic: 'order.paid', key: 'order-1', body: { orderId: 'order-1' } }
let folder = ''
let url = ''
let running: ChildProcess | undefined

async function start(): Promise<BrokerClient> {
  running = fork(program, ['--folder', folder, '--lease-ms', '200'], {
    execArgv: [],
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  const [{ port }] = (await once(running, 'message')) as [{ port: number }]
  url = `http://127.0.0.1:${port}`
  return new BrokerClient(url)
}

async function kill(): Promise<void> {
  const child = running
  if (child === undefined) return
  running = undefined
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waybill-shop-broker-'))
})
afterEach(async () => {
  await kill()
  rmSync(folder, { recursive: true })
})

test('whatever was answered survives SIGKILL: messages, groups and acknowledgements', async () => {
  const before = await start()
  const ids = await before.publish([order, { ...order, key: 'order-2' }])
  expect(ids).toHaveLength(2)
  const request = { group: 'coupon', topics: ['order.paid'], max: 10, waitMs: 0 }
  const [first] = await before.receive(request)
  await before.acknowledge('coupon', [first!.deliveryId])
  await kill()

  const after = await start()
  expect(await after.pendingKeys('coupon')).toEqual(['order-2'])
  expect((await after.receive(request)).map(({ message }) => message.key)).toEqual(['order-2'])
  expect(await after.health()).toMatchObject({
    ok: true,
    published: 2,
    groups: { coupon: { acknowledged: 1 } },
  })
})

test('what is not acknowledged is delivered again when its lease runs out', async () => {
  const broker = await start()
  await broker.publish([order])
  const request = { group: 'coupon', topics: ['order.paid'], max: 10, waitMs: 5000 }
  const [first] = await broker.receive(request)
  const [second] = await broker.receive(request)
  expect([first!.attempt, second!.attempt]).toEqual([1, 2])
  expect(await broker.acknowledge('coupon', [first!.deliveryId])).toBe(1)
  expect(await broker.acknowledge('coupon', [second!.deliveryId])).toBe(0)
})

test('a dead broker is an unknown outcome, not an answer', async () => {
  const broker = await start()
  await kill()
  await expect(broker.publish([order])).rejects.toMatchObject({ status: 0, code: 'http.unreachable' })
})

test.each([
  ['/publish', {}],
  ['/publish', { messages: [] }],
  ['/publish', { messages: [{ topic: '', body: 1 }] }],
  ['/publish', { messages: [{ topic: 'a' }] }],
  ['/receive', { group: 'g', topics: ['a'], max: 0, waitMs: 0 }],
  ['/receive', { group: 'g', topics: ['a'], max: 1, waitMs: -1 }],
  ['/acknowledge', { group: 'g', deliveryIds: ['x'] }],
  ['/pending', []],
])('a bad request is refused with a code: %s %j', async (path, body) => {
  await start()
  await expect(callJson('POST', `${url}${path}`, body, { timeoutMs: 5000 })).rejects.toMatchObject({
    status: 400,
    code: 'broker.bad-request',
  })
})
