import assert from 'node:assert/strict'
import { type StorePromise, idsOf, paid } from '../store-bench.ts'

/** DESIGN §6, 1: a reader never skips a committed message, and never sees an uncommitted one. */
export const reading: readonly StorePromise[] = [
  {
    name: 'a reader gets messages in commit order, after its position, up to its limit',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const ids = await t.publishMany(5)
      const all = await t.read(lease)
      assert.deepEqual(idsOf(all), ids)
      assert.ok(all.every((message, i) => i === 0 || message.position > all[i - 1]!.position))
      assert.deepEqual(await t.readIds(lease, 0, 2), ids.slice(0, 2))
      assert.deepEqual(await t.readIds(lease, all[1]!.position, 2), ids.slice(2, 4))
      assert.deepEqual(await t.readIds(lease, all[4]!.position), [])
    },
  },
  {
    name: 'a reader never sees what is not committed',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const other = await t.another()
      await t.transaction(async (tx) => {
        await t.appendIn(tx, {})
        assert.deepEqual(await t.store.read(lease, 0, 10), [])
        assert.equal(await t.store.peek(lease, 0), undefined)
        assert.deepEqual(await other.store.read(lease, 0, 10), [])
        assert.equal((await t.store.lag())[0]?.waiting, 0)
      })
      assert.equal((await t.read(lease)).length, 1)
    },
  },
  {
    name: 'a reader that follows the log gets each message once, whoever publishes',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const other = await t.another()
      const published: string[] = []
      const seen: string[] = []
      let position = lease.position
      for (let round = 0; round < 20; round++) {
        const publisher = round % 2 === 0 ? t.database : other
        const drafts = Array.from({ length: (round % 3) + 1 }, () => t.draft())
        await publisher.transaction({ work: (tx) => publisher.store.append(tx, drafts, [paid]) })
        published.push(...idsOf(drafts))
        const read = await t.store.read(lease, position, 2)
        seen.push(...idsOf(read))
        position = read.at(-1)?.position ?? position
      }
      for (let read = await t.read(lease, position); read.length > 0; read = await t.read(lease, position)) {
        seen.push(...idsOf(read))
        position = read.at(-1)!.position
      }
      assert.deepEqual(seen, published)
    },
  },
  {
    name: 'a rolled-back publish leaves no gap that hides a later one',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const ids: string[] = []
      for (let round = 0; round < 3; round++) {
        await assert.rejects(
          t.transaction(async (tx) => {
            await t.appendIn(tx, {}, {})
            throw new Error('no')
          }),
        )
        ids.push(...(await t.publish({})))
      }
      assert.deepEqual(await t.readIds(lease), ids)
    },
  },
  {
    name: 'a reader that was handed over never sees a message twice, nor misses one',
    async run(t) {
      const first = await t.groupWithLease('coupon')
      const ids = await t.publishMany(4)
      const messages = await t.read(first)
      await t.run(first, messages.slice(0, 2))
      await t.store.advance(first, messages[1]!.position)
      await t.store.release([first])
      await t.store.leave(first.owner)
      const second = await t.lease('coupon')
      assert.deepEqual(await t.readIds(second), ids.slice(2))
    },
  },
  {
    name: 'the cursor moves forward only',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(3)
      const messages = await t.read(lease)
      await t.store.advance(lease, messages[2]!.position)
      await t.store.advance(lease, messages[0]!.position)
      await t.transaction((tx) => t.store.advanceIn(tx, lease, messages[1]!.position))
      await t.store.settle(lease, [], messages[1]!.position)
      assert.equal(await t.cursor('coupon'), messages[2]!.position)
    },
  },
  {
    name: 'each group has a cursor of its own',
    async run(t) {
      const coupon = await t.groupWithLease('coupon')
      await t.group('logistics')
      const [id] = await t.publish({})
      await t.store.advance(coupon, (await t.read(coupon))[0]!.position)
      assert.deepEqual(await t.readIds(await t.lease('logistics')), [id])
    },
  },
  {
    name: 'each message comes with what became of it in the reader’s group',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.group('logistics')
      await t.publishMany(7)
      const messages = await t.read(lease)
      const [done, retrying, dead, discarded, filtered, running] = messages
      await t.run(lease, [done!])
      await t.settle(lease, retrying!, { state: 'retrying', dueAt: t.now })
      await t.bury(lease, dead!)
      await t.settle(lease, discarded!, { state: 'discarded' })
      await t.settle(lease, filtered!, { state: 'filtered' })
      await t.store.markRunning(lease, running!, true)
      const states = ['done', 'retrying', 'dead', 'discarded', 'filtered', 'running', null]
      assert.deepEqual(
        (await t.read(lease)).map(({ disposition }) => disposition),
        states,
      )
      assert.deepEqual(await t.statesOf(lease, idsOf(messages)), states)
      const other = await t.lease('logistics')
      assert.ok((await t.read(other)).every(({ disposition }) => disposition === null))
    },
  },
  {
    name: 'a message is the same when it is read at once, again later, and by another process',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      const drafts = [
        {},
        { tag: 'vip', key: 'order-1', shardingKey: 'user-1', headers: { trace: 't"1', 名: '值' } },
        { body: JSON.stringify({ text: 'a "quote", a \\ and a \n, 红包 🧧', long: 12345678901234 }) },
        { body: JSON.stringify('x'.repeat(20_000)) },
        { body: new Uint8Array([0, 255, 34, 92]) },
      ]
      const { store } = await t.another()
      let position = lease.position
      for (const draft of [...drafts.map((one) => [one]), drafts]) {
        const published = await t.publish(...draft)
        const atOnce = await t.store.read(lease, position, 10)
        assert.deepEqual(idsOf(atOnce), published)
        for (const [i, message] of atOnce.entries()) {
          const { body = message.body, ...rest } = draft[i]!
          assert.deepEqual(Buffer.from(message.body), Buffer.from(body))
          for (const [name, value] of Object.entries(rest))
            assert.deepEqual(message[name as keyof typeof message], value)
        }
        assert.deepEqual(await t.store.read(lease, position, 10), atOnce)
        assert.deepEqual(await store.read(lease, position, 10), atOnce)
        position = atOnce.at(-1)!.position
      }
    },
  },
  {
    name: 'P17: whoever takes a queue over reads what became of its messages, though it has not looked for long',
    async run(t) {
      const before = await t.groupWithLease('coupon')
      assert.deepEqual(await t.read(before), [])
      await t.store.release([before])
      await t.store.leave(before.owner)
      const { store } = await t.another()
      const [other] = (await t.share(t.owner(), 'coupon', store)).leases
      const ids = await t.publish({}, {})
      const [first, second] = await store.read(other!, 0, 10)
      await store.markRunning(other!, first!, true)
      await t.run(other!, [second!])
      await store.release([other!])
      await store.leave(other!.owner)
      // What this process puts into sequence itself comes after what it has not.
      ids.push(...(await t.publish({})))
      const again = await t.lease('coupon')
      assert.deepEqual(
        (await t.read(again)).map(({ id, disposition }) => [id, disposition]),
        [
          [ids[0], 'running'],
          [ids[1], 'done'],
          [ids[2], null],
        ],
      )
    },
  },
  {
    name: 'lag tells how far each cursor is behind the end, and who reads',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(3)
      const messages = await t.read(lease)
      await t.store.advance(lease, messages[0]!.position)
      const behind = {
        reader: 'coupon',
        topic: 'order.paid',
        queue: 0,
        position: messages[0]!.position,
        end: messages[2]!.position,
        waiting: 2,
        owner: lease.owner,
      }
      assert.deepEqual(await t.store.lag(), [behind])
      await t.store.release([lease])
      assert.deepEqual(await t.store.lag(), [{ ...behind, owner: null }])
    },
  },
  {
    name: 'a relay’s record of what it sent moves with its cursor',
    async run(t) {
      await t.store.declareReader('@relay', [paid], 'oldest')
      await t.publishMany(3)
      const lease = await t.lease('@relay')
      const messages = await t.read(lease)
      await t.store.advance(lease, messages[1]!.position, {
        transport: 'database',
        from: messages[0]!.position,
        count: 2,
        proof: 'batch 1',
      })
      await t.store.advance(lease, messages[2]!.position, {
        transport: 'database',
        from: messages[2]!.position,
        count: 1,
        proof: 'batch 2',
      })
      assert.equal(await t.cursor('@relay'), messages[2]!.position)
    },
  },
  {
    name: 'a landing reader sees plain messages, without dispositions',
    async run(t) {
      await t.store.declareReader('@land:coupon', [paid], 'oldest')
      const ids = await t.publishMany(2)
      const lease = await t.lease('@land:coupon')
      assert.deepEqual(
        (await t.read(lease)).map(({ id, disposition, blocked }) => ({ id, disposition, blocked })),
        ids.map((id) => ({ id, disposition: null, blocked: false })),
      )
    },
  },
]
