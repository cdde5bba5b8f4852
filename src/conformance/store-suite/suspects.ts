import assert from 'node:assert/strict'
import type { LoggedMessage } from '../../core/message.ts'
import type { Lease } from '../../core/store.ts'
import { type StoreBench, type StorePromise, idsOf, leaseMs, needsTimeTravel } from '../store-bench.ts'

/** P17: a message that kills its process is found, and bystanders are not blamed. */
export const suspects: readonly StorePromise[] = [
  {
    name: 'P17: nothing is suspect for the first owner, nor after a clean release',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      assert.deepEqual({ through: lease.suspectThrough, due: lease.suspectDueBefore }, { through: 0, due: 0 })
      await t.publishMany(3)
      await t.store.release([lease])
      await t.store.leave(lease.owner)
      const next = await t.lease('coupon')
      assert.deepEqual({ through: next.suspectThrough, due: next.suspectDueBefore }, { through: 0, due: 0 })
    },
  },
  {
    name: 'P17: after an unclean lapse the window after the cursor is suspect, and no more',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon', { runningMax: 2 })
      await t.publishMany(5)
      const messages = await t.read(lease)
      await t.store.advance(lease, messages[0]!.position)
      const successor = await successorOf(t, lease)
      assert.equal(successor.position, messages[0]!.position)
      assert.equal(successor.suspectThrough, messages[2]!.position)
    },
  },
  {
    name: 'P17: a window is counted in messages of the queue, not in positions',
    missing: needsTimeTravel,
    async run(t) {
      await t.topic({ name: 'order.other', queues: 1 })
      const lease = await t.groupWithLease('coupon', { runningMax: 2 })
      for (let i = 0; i < 3; i++) await t.publish({}, { topic: 'order.other' }, { topic: 'order.other' })
      const messages = await t.read(lease)
      assert.equal(messages.length, 3)
      assert.equal((await successorOf(t, lease)).suspectThrough, messages[1]!.position)
    },
  },
  {
    name: 'P17: a crash on an empty queue leaves nothing to suspect in the log',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(2)
      const messages = await t.read(lease)
      await t.store.advance(lease, messages[1]!.position)
      const successor = await successorOf(t, lease)
      assert.ok(successor.suspectThrough <= successor.position)
    },
  },
  {
    name: 'P17: after an unclean lapse what was due by then is suspect, and what falls due later is not',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(2)
      const [early, late] = await t.read(lease)
      await t.settle(lease, early!, { state: 'retrying', dueAt: t.now })
      await t.settle(lease, late!, { state: 'retrying', dueAt: t.now + leaseMs * 10 }, late!.position)
      const successor = await successorOf(t, lease)
      const due = await t.store.due(successor, t.now + leaseMs * 10, 10)
      assert.deepEqual(
        due.map(({ dueAt }) => dueAt <= successor.suspectDueBefore),
        [true, false],
      )
    },
  },
  {
    name: 'P17: a lapse while suspects are worked through keeps the rest of them suspect',
    missing: needsTimeTravel,
    async run(t) {
      const lease = await t.groupWithLease('coupon', { runningMax: 4 })
      await t.publishMany(6)
      const messages = await t.read(lease)
      const second = await successorOf(t, lease)
      await t.store.advance(second, messages[0]!.position)
      await t.store.release([second])
      await t.store.leave(second.owner)
      const third = await t.lease('coupon')
      assert.equal(third.position, messages[0]!.position)
      assert.equal(third.suspectThrough, messages[3]!.position)
    },
  },
  {
    name: 'P17: suspects are found by id only, one after the other, and loaded one by one',
    async run(t) {
      const lease = await t.groupWithLease('coupon')
      await t.publishMany(2)
      const messages = await t.read(lease)
      const first = await t.store.peek(lease, 0)
      assert.deepEqual(first, { position: messages[0]!.position, id: messages[0]!.id })
      const second = await t.store.peek(lease, first!.position)
      assert.deepEqual(second, { position: messages[1]!.position, id: messages[1]!.id })
      assert.equal(await t.store.peek(lease, second!.position), undefined)
      assert.deepEqual(await t.store.load(lease, second!.position), messages[1])
      assert.equal(await t.store.load(lease, second!.position + 1), undefined)
    },
  },
  {
    name: 'P17: a mark counts how often it was found: each time a process died with nothing else running',
    async run(t) {
      const { lease, message } = await suspect(t)
      assert.deepEqual(
        [await mark(t, lease, message), await mark(t, lease, message), await mark(t, lease, message)],
        [0, 1, 2],
      )
      assert.deepEqual(await t.statesOf(lease, [message.id]), ['running'])
    },
  },
  {
    name: 'P17: a crash while others ran beside it does not count',
    async run(t) {
      const { lease, message } = await suspect(t)
      assert.equal(await mark(t, lease, message, false), 0)
      assert.equal(await mark(t, lease, message, false), 0)
      assert.equal(await mark(t, lease, message), 0)
      assert.equal(await mark(t, lease, message, false), 1, 'the run before was alone')
      assert.equal(await mark(t, lease, message), 1, 'the run before was not')
      assert.equal(await mark(t, lease, message), 2)
    },
  },
  {
    name: 'P17: a mark that is excused does not count when it is found again',
    async run(t) {
      const { lease, message } = await suspect(t)
      await mark(t, lease, message)
      await t.store.excuse(lease, message.id)
      assert.equal(await mark(t, lease, message), 0)
      assert.equal(await mark(t, lease, message), 1)
      await t.store.excuse(lease, message.id)
      assert.equal(await mark(t, lease, message), 1)
      assert.equal(await mark(t, lease, message), 2)
    },
  },
  {
    name: 'P17: excusing leaves alone what is not running',
    async run(t) {
      const { lease, message } = await suspect(t)
      await t.store.excuse(lease, message.id)
      assert.deepEqual(await t.statesOf(lease, [message.id]), [null])
      await t.settle(lease, message, { state: 'retrying', dueAt: t.now })
      await t.store.excuse(lease, message.id)
      assert.equal(await mark(t, lease, message), 0)
      assert.equal(await mark(t, lease, message), 1)
    },
  },
  {
    name: 'P17: a failure that is told is no crash: the count begins anew',
    async run(t) {
      const { lease, message } = await suspect(t)
      await mark(t, lease, message)
      await mark(t, lease, message)
      await t.settle(lease, message, { state: 'retrying', dueAt: t.now }, message.position)
      assert.equal(await mark(t, lease, message), 0)
      assert.equal(await mark(t, lease, message), 1)
    },
  },
  {
    name: 'P17: a marked retried message stays due, with its attempts, until it is claimed or settled',
    async run(t) {
      const { lease, message } = await suspect(t)
      await t.settle(lease, message, { state: 'retrying', attempts: 4, dueAt: t.now }, message.position)
      await mark(t, lease, message)
      const [due] = await t.store.due(lease, t.now, 10)
      assert.deepEqual(
        { id: due?.id, disposition: due?.disposition, attempts: due?.attempts },
        { id: message.id, disposition: 'running', attempts: 4 },
      )
      assert.equal(await t.dueAt(lease), t.now)
      assert.deepEqual(await t.run(lease, [due!], 'running'), [message.id])
      assert.deepEqual(await t.dueIds(lease), [])
    },
  },
  {
    name: 'P17: a retried message whose log row is gone can still be marked',
    missing: needsTimeTravel,
    async run(t) {
      const { lease, message } = await suspect(t)
      await t.settle(lease, message, { state: 'retrying', dueAt: t.now }, message.position)
      await t.advance(leaseMs / 2)
      assert.equal(await t.store.purge(t.now), 1)
      assert.equal(await mark(t, lease, message), 0)
      assert.equal(await mark(t, lease, message, false), 1)
      assert.equal(await mark(t, lease, message), 1)
      assert.equal(await mark(t, lease, message), 2)
      assert.deepEqual(await t.run(lease, [message], 'running'), [message.id])
    },
  },
  {
    name: 'P17: a marked message is shown with its mark, and is not loaded twice as new',
    async run(t) {
      const { lease, message } = await suspect(t)
      await mark(t, lease, message)
      assert.deepEqual(
        (await t.read(lease)).map(({ id, disposition }) => ({ id, disposition })),
        [{ id: message.id, disposition: 'running' }],
      )
      assert.equal((await t.store.load(lease, message.position))?.disposition, 'running')
    },
  },
  {
    name: 'P17: what is settled for good is not marked again',
    async run(t) {
      const { lease, message } = await suspect(t)
      await t.run(lease, [message])
      assert.equal(await mark(t, lease, message), 0)
      assert.deepEqual(await t.statesOf(lease, [message.id]), ['done'])
    },
  },
  {
    name: 'P17: a mark that was excused, because its process lives, counts for nothing; the marks before and after it count',
    async run(t) {
      const { lease, message } = await suspect(t)
      await mark(t, lease, message)
      assert.equal(await mark(t, lease, message), 1)
      await t.store.excuse(lease, message.id)
      assert.equal(await mark(t, lease, message), 1)
      assert.equal(await mark(t, lease, message), 2)
    },
  },
  {
    name: 'P17: excusing what is done changes nothing',
    async run(t) {
      const { lease, message } = await suspect(t)
      await mark(t, lease, message)
      await t.run(lease, [message], 'running')
      await t.store.excuse(lease, message.id)
      assert.deepEqual(await t.store.dispositions(lease, [message.id]), new Map([[message.id, 'done']]))
    },
  },
  {
    name: 'P17: poison is buried with its count, and is a dead letter like any other',
    async run(t) {
      const { lease, message } = await suspect(t)
      await mark(t, lease, message)
      await t.settle(
        lease,
        message,
        { state: 'dead', attempts: 0, cause: 'handler.poison', because: 'its process died' },
        message.position,
      )
      const [dead] = await t.store.deadLetters({ cause: 'handler.poison' })
      assert.equal(dead?.id, message.id)
      await t.store.redrive([{ group: 'coupon', id: message.id }], { by: 'ops', because: 'fixed' })
      assert.deepEqual(await t.dueIds(lease), idsOf([message]))
    },
  },
]

async function suspect(t: StoreBench) {
  const lease = await t.groupWithLease('coupon')
  await t.publish({})
  const [message] = await t.read(lease)
  return { lease, message: message! }
}

function mark(t: StoreBench, lease: Lease, message: LoggedMessage, alone = true): Promise<number> {
  return t.store.markRunning(lease, message, alone)
}

/** The owner dies without a word; somebody takes over once its lease has lapsed. */
async function successorOf(t: StoreBench, lease: Lease): Promise<Lease> {
  return (await t.zombie(lease)).current
}
