import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { sqlite } from './databases/sqlite.ts'
import { Waybill, type WaybillOptions, binary, topic } from './index.ts'
import type { SqliteTx } from './databases/sqlite.ts'
import { silentLog } from './core/log.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const OrderPaid = topic<{ id: string }>('order.paid')

let folder: ReturnType<typeof temporaryFolder>
const opened: Waybill<SqliteTx, 'sync'>[] = []

function open(options: Partial<WaybillOptions<SqliteTx, 'sync'>> = {}): Waybill<SqliteTx, 'sync'> {
  const waybill = new Waybill({
    service: 'order',
    database: sqlite(folder.file('order.db')),
    log: silentLog,
    ...options,
  })
  opened.push(waybill)
  return waybill
}

function userHandle(): DatabaseSync {
  const handle = new DatabaseSync(folder.file('order.db'))
  handle.exec('create table if not exists orders (id text primary key)')
  return handle
}

beforeEach(() => {
  folder = temporaryFolder()
})

afterEach(async () => {
  for (const waybill of opened.splice(0)) await waybill.stop({ withinMs: 0 })
  folder.remove()
})

describe('publishing in a transaction', () => {
  test('a message exists if and only if the transaction commits', async () => {
    const waybill = open()
    await waybill.transaction((tx) => void waybill.publish(tx, OrderPaid, { key: 'kept', body: { id: '1' } }))
    const failed = waybill.transaction((tx) => {
      waybill.publish(tx, OrderPaid, { key: 'gone', body: { id: '2' } })
      throw new Error('the business change failed')
    })
    await expect(failed).rejects.toThrow('the business change failed')
    expect(await waybill.search({ key: 'kept' })).toHaveLength(1)
    expect(await waybill.search({ key: 'gone' })).toHaveLength(0)
  })

  test("the user's own handle in a transaction is enough, and publishing is synchronous on it", async () => {
    const waybill = open()
    const handle = userHandle()
    handle.exec('begin immediate')
    handle.prepare('insert into orders values (?)').run('1')
    const id = waybill.publish(handle, OrderPaid, { key: '1', body: { id: '1' } })
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    handle.exec('commit')
    handle.close()
    expect(await waybill.search({ id })).toMatchObject([
      { id, key: '1', topic: 'order.paid', service: 'order' },
    ])
  })

  test('P32: a handle in no transaction is refused, and nothing is written', async () => {
    const waybill = open()
    const handle = userHandle()
    expect(() => waybill.publish(handle, OrderPaid, { key: 'x', body: { id: 'x' } })).toThrow(
      expect.objectContaining({ code: 'publish.no-transaction' }),
    )
    handle.close()
    expect(await waybill.search({ key: 'x' })).toEqual([])
  })

  test.each([undefined, null, {}, 'tx', { query: () => [] }])(
    'P32: %j, which cannot say whether it is in a transaction, is refused',
    (handle) => {
      const waybill = open()
      expect(() => waybill.publish(handle as never, OrderPaid, { body: { id: 'x' } })).toThrow(
        expect.objectContaining({ code: 'publish.handle-unknown' }),
      )
    },
  )

  test('P11: a handle on another file is refused, also when Waybill tables are there', async () => {
    const waybill = open()
    const other = open({ database: sqlite(folder.file('other.db')) })
    await other.publishNow(OrderPaid, { body: { id: '0' } })
    for (const name of ['other.db', 'bare.db']) {
      const handle = new DatabaseSync(folder.file(name))
      handle.exec('begin')
      expect(() => waybill.publish(handle, OrderPaid, { key: 'astray', body: { id: '1' } })).toThrow(
        expect.objectContaining({ code: 'publish.handle-unknown' }),
      )
      handle.close()
    }
    expect(await other.search({ key: 'astray' })).toEqual([])
  })

  test('several messages and mixed topics go in one call and keep their order', async () => {
    const waybill = open()
    const Scan = topic('scan.uploaded', binary)
    const ids = await waybill.transaction((tx) => [
      ...waybill.publish(tx, OrderPaid, [
        { key: 'k', shardingKey: 's', body: { id: '1' } },
        { key: 'k', shardingKey: 's', body: { id: '2' } },
      ]),
      ...waybill.publishAll(tx, [
        OrderPaid.message({ key: 'k', shardingKey: 's', body: { id: '3' } }),
        Scan.message({ key: 'k', body: new Uint8Array([0, 255]) }),
      ]),
    ])
    const found = await waybill.search({ key: 'k', topic: 'order.paid' })
    expect(found.toSorted((a, b) => a.position - b.position).map((message) => message.id)).toEqual(
      ids.slice(0, 3),
    )
    expect(await waybill.search({ topic: 'scan.uploaded' })).toHaveLength(1)
  })

  test('P27: the second publish of a dedup key is a no-op that answers the first id', async () => {
    const waybill = open()
    const publish = (): Promise<string> =>
      waybill.transaction((tx) => waybill.publish(tx, OrderPaid, { dedupKey: 'order-1', body: { id: '1' } }))
    const first = await publish()
    expect(await publish()).toBe(first)
    expect(await waybill.search({ topic: 'order.paid' })).toHaveLength(1)
  })

  test('publishNow opens its own transaction', async () => {
    const waybill = open()
    const id = await waybill.publishNow(OrderPaid, { body: { id: '1' } })
    expect(await waybill.search({ id })).toHaveLength(1)
  })

  test('afterCommit runs after a commit, not after a roll-back, and is refused on a handle that Waybill did not open', async () => {
    const waybill = open()
    const ran: string[] = []
    await waybill.transaction((tx) => waybill.afterCommit(tx, () => void ran.push('committed')))
    await expect(
      waybill.transaction((tx) => {
        waybill.afterCommit(tx, () => void ran.push('rolled back'))
        throw new Error('no')
      }),
    ).rejects.toThrow('no')
    expect(ran).toEqual(['committed'])
    const handle = userHandle()
    handle.exec('begin')
    expect(() => waybill.afterCommit(handle, () => {})).toThrow(
      expect.objectContaining({ code: 'publish.after-commit-unsupported' }),
    )
    handle.close()
  })

  test('what a schema transforms is stored as it was given', async () => {
    const waybill = open()
    const Priced = topic('order.priced', z.object({ amount: z.string().transform(Number) }))
    const id = await waybill.publishNow(Priced, { body: { amount: '12' } })
    expect(await waybill.search({ id })).toHaveLength(1)
  })
})

describe('bad input is refused with a code, and nothing is lost or written', () => {
  const asyncSchema = {
    '~standard': { version: 1, vendor: 'test', validate: async (value: unknown) => ({ value }) },
  } as const

  test.each<[string, string, () => unknown]>([
    ['a wrong topic name', 'topic.name-invalid', () => topic('Order Paid')],
    ['an unknown option', 'config.invalid', () => open({ lease: 5 } as never)],
    ['a wrong service name', 'config.invalid', () => open({ service: 'Order Service' })],
    ['a lease of no length', 'config.invalid', () => open({ leaseMs: 0 })],
    ['no database', 'config.invalid', () => open({ database: 'order.db' as never })],
    ['a retention without a unit', 'duration.invalid', () => open({ retention: '30' as never })],
    [
      'a wrong group name',
      'group.name-invalid',
      () => open().consume(OrderPaid, { group: 'Red Packet' }, () => {}),
    ],
    [
      'an unknown consume option',
      'group.options-invalid',
      () => open().consume(OrderPaid, { group: 'a', delay: 5 } as never, () => {}),
    ],
    [
      'a batch of one',
      'group.options-invalid',
      () => open().consume(OrderPaid, { group: 'a', batch: 1 }, () => {}),
    ],
    [
      'a wrong tag filter',
      'group.options-invalid',
      () => open().consume(OrderPaid, { group: 'a', tags: 'a | b' }, () => {}),
    ],
    [
      'a missing handler',
      'group.options-invalid',
      () => open().consume(OrderPaid, { group: 'a' }, undefined as never),
    ],
  ])('%s: %s', (_, code, act) => {
    expect(act).toThrow(expect.objectContaining({ code }))
  })

  test.each<[string, string, object]>([
    ['a body that is not JSON', 'message.body-not-json', { body: { at: new Date(0) } }],
    ['no body', 'message.invalid', { key: 'k' }],
    ['no message', 'message.invalid', null as never],
    ['an unknown field', 'message.field-unknown', { body: {}, priority: 5 }],
    ['a body too large', 'message.body-too-large', { body: { text: 'x'.repeat(1024 * 1024) } }],
    ['a key too long in bytes', 'message.key-invalid', { body: {}, key: '订'.repeat(86) }],
    ['an empty key', 'message.key-invalid', { body: {}, key: '' }],
    ['a NUL in a key', 'message.key-invalid', { body: {}, key: 'a\u0000b' }],
    ['half a surrogate pair in a sharding key', 'message.key-invalid', { body: {}, shardingKey: '\ud83d' }],
    ['a key that is a number', 'message.key-invalid', { body: {}, key: 7 }],
    ['a tag with a bar', 'message.tag-invalid', { body: {}, tag: 'a|b' }],
    [
      'too many headers',
      'message.headers-invalid',
      { body: {}, headers: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`h${i}`, 'v'])) },
    ],
    ['a header too large', 'message.headers-invalid', { body: {}, headers: { h: 'x'.repeat(1024) } }],
    [
      "a header with Waybill's own name",
      'message.headers-invalid',
      { body: {}, headers: { 'waybill-id': '1' } },
    ],
  ])('%s: %s', async (_, code, message) => {
    const waybill = open()
    const Any = topic<any>('any')
    const work = waybill.transaction((tx) => void waybill.publish(tx, Any, message as never))
    await expect(work).rejects.toThrow(expect.objectContaining({ code }))
    expect(await waybill.search({ topic: 'any' })).toEqual([])
  })

  test('a body that does not fit the schema: message.body-invalid, with the path', async () => {
    const waybill = open()
    const Checked = topic('checked', z.object({ amount: z.number().positive() }))
    await expect(waybill.publishNow(Checked, { body: { amount: -1 } })).rejects.toThrow(
      /message\.body-invalid.*amount/,
    )
  })

  test('an asynchronous schema on a synchronous handle: topic.schema-async, thrown before publish returns', async () => {
    const waybill = open()
    const handle = userHandle()
    handle.exec('begin')
    expect(() => waybill.publish(handle, topic('slow', asyncSchema), { body: {} })).toThrow(
      expect.objectContaining({ code: 'topic.schema-async' }),
    )
    handle.close()
  })

  test('bytes for a JSON topic and JSON for a binary one', async () => {
    const waybill = open()
    await expect(waybill.publishNow(topic<any>('json'), { body: new Uint8Array(1) })).rejects.toThrow(
      expect.objectContaining({ code: 'message.body-not-json' }),
    )
    await expect(waybill.publishNow(topic('bytes', binary), { body: {} as never })).rejects.toThrow(
      expect.objectContaining({ code: 'message.body-invalid' }),
    )
  })

  test('P19: a topic with another number of queues than it was created with: topic.queues-differ', async () => {
    const waybill = open()
    await waybill.publishNow(OrderPaid, { body: { id: '1' } })
    await expect(
      waybill.publishNow(topic<{ id: string }>('order.paid', undefined, { queues: 5 }), {
        body: { id: '2' },
      }),
    ).rejects.toThrow(expect.objectContaining({ code: 'topic.queues-differ' }))
  })

  test('awaiting I/O inside a SQLite transaction: rolled back with store.transaction-left-open', async () => {
    const waybill = open()
    const work = waybill.transaction(async (tx) => {
      waybill.publish(tx, OrderPaid, { key: 'left-open', body: { id: '1' } })
      await new Promise((resolve) => setImmediate(resolve))
    })
    await expect(work).rejects.toThrow(expect.objectContaining({ code: 'store.transaction-left-open' }))
    expect(await waybill.search({ key: 'left-open' })).toEqual([])
    await waybill.publishNow(OrderPaid, { key: 'after', body: { id: '2' } })
    expect(await waybill.search({ key: 'after' })).toHaveLength(1)
  })

  test('a full disk: store.disk-full, nothing half-written, and it works again once there is room', async () => {
    const waybill = open()
    await waybill.publishNow(OrderPaid, { key: 'before', body: { id: '0' } })
    const handle = userHandle()
    const pages = Number(handle.prepare('pragma page_count').get()!['page_count'])
    handle.exec(`pragma max_page_count = ${pages + 2}`)
    const big = { key: 'big', body: { id: 'x'.repeat(100_000) } }
    handle.exec('begin immediate')
    handle.prepare('insert into orders values (?)').run('with-big')
    expect(() => waybill.publish(handle, OrderPaid, big)).toThrow(
      expect.objectContaining({ code: 'store.disk-full' }),
    )
    if (handle.isTransaction) handle.exec('rollback')
    expect(handle.prepare('select * from orders').all()).toEqual([])
    handle.exec('pragma max_page_count = 1000000')
    handle.exec('begin immediate')
    waybill.publish(handle, OrderPaid, big)
    handle.exec('commit')
    handle.close()
    expect(await waybill.search({ key: 'big' })).toHaveLength(1)
    expect(await waybill.search({ key: 'before' })).toHaveLength(1)
  })

  test('P7: an I/O error at COMMIT: store.commit-unknown with the ids, and the callback is not repeated', async () => {
    const waybill = open()
    let runs = 0
    const exec = DatabaseSync.prototype.exec
    const failing = vi.spyOn(DatabaseSync.prototype, 'exec').mockImplementation(function (
      this: DatabaseSync,
      sql,
    ) {
      if (sql === 'commit') throw Object.assign(new Error('disk I/O error'), { errcode: 10 })
      return exec.call(this, sql)
    })
    const ids: string[] = []
    const work = waybill.transaction((tx) => {
      runs++
      ids.push(waybill.publish(tx, OrderPaid, { body: { id: '1' } }))
    })
    await expect(work).rejects.toThrow(
      expect.objectContaining({ code: 'store.commit-unknown', facts: { messages: ids } }),
    )
    failing.mockRestore()
    expect(runs).toBe(1)
    expect(ids).toHaveLength(1)
    await waybill.publishNow(OrderPaid, { key: 'goes-on', body: { id: '2' } })
    expect(await waybill.search({ key: 'goes-on' })).toHaveLength(1)
  })

  test('after stop: waybill.stopped', async () => {
    const waybill = open()
    await waybill.stop()
    await expect(waybill.transaction(() => {})).rejects.toThrow(
      expect.objectContaining({ code: 'waybill.stopped' }),
    )
    await expect(waybill.search({})).rejects.toThrow(expect.objectContaining({ code: 'waybill.stopped' }))
    await expect(waybill.deadLetters.list()).rejects.toThrow(
      expect.objectContaining({ code: 'waybill.stopped' }),
    )
    await expect(waybill.start()).rejects.toThrow(expect.objectContaining({ code: 'waybill.stopped' }))
  })
})
