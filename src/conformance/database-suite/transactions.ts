import assert from 'node:assert/strict'
import { type DatabasePromise, asyncOnly, realIo, syncOnly } from '../database-bench.ts'
import { rejectsWith } from '../store-bench.ts'

/** `transaction`: all of its stages commit together, or nothing of them does. */
export const transactions: readonly DatabasePromise[] = [
  {
    name: 'a transaction commits what its work wrote, and answers what it returned',
    async run(t) {
      const answer = await t.database.transaction({
        work: async (tx) => {
          await t.add(tx, 'paid')
          await t.append(tx)
          return 42
        },
      })
      assert.equal(answer, 42)
      assert.deepEqual(await t.effects(), ['paid'])
      assert.equal(await t.logged(), 1)
    },
  },
  {
    name: 'work that throws rolls back, and its own error comes out',
    async run(t) {
      const bounced = new Error('the payment bounced')
      const failed = t.database.transaction({
        work: async (tx) => {
          await t.add(tx, 'paid')
          await t.append(tx)
          throw bounced
        },
      })
      await assert.rejects(failed, (error) => error === bounced)
      assert.deepEqual(await t.effects(), [])
      assert.equal(await t.logged(), 0)
    },
  },
  {
    name: 'work that throws before its first statement leaves everything as it was',
    async run(t) {
      await assert.rejects(
        t.database.transaction({ work: () => Promise.reject(new Error('early')) }),
        /early/,
      )
      await t.database.transaction({ work: (tx) => t.add(tx, 'later') })
      assert.deepEqual(await t.effects(), ['later'])
    },
  },
  {
    name: 'opened runs before the work’s first statement, closing after the work, and both commit with it',
    async run(t) {
      await t.database.transaction({
        opened: (tx) => t.subject.effects.add(tx, 'opened'),
        work: (tx) => t.add(tx, 'work'),
        closing: (tx, result) => t.subject.effects.add(tx, `closing ${String(result)}`),
      })
      assert.deepEqual(await t.effects(), ['opened', 'work', 'closing undefined'])
    },
  },
  {
    name: 'opened and closing run also when the work makes no statement, and the result is handed on',
    async run(t) {
      const answer = await t.database.transaction({
        opened: (tx) => t.subject.effects.add(tx, 'opened'),
        work: () => 'result',
        closing: (tx, result) => t.subject.effects.add(tx, `closing ${result}`),
      })
      assert.equal(answer, 'result')
      assert.deepEqual(await t.effects(), ['opened', 'closing result'])
    },
  },
  {
    name: 'opened runs once, and work runs once',
    async run(t) {
      const runs = { opened: 0, work: 0, closing: 0 }
      await t.database.transaction({
        opened: () => void runs.opened++,
        work: async (tx) => {
          runs.work++
          await t.add(tx, 'a')
          await t.add(tx, 'b')
        },
        closing: () => void runs.closing++,
      })
      assert.deepEqual(runs, { opened: 1, work: 1, closing: 1 })
    },
  },
  {
    name: 'work runs once, whatever fails',
    async run(t) {
      let runs = 0
      const failing = {
        work: () => void runs++,
        closing: () => {
          throw new Error('no')
        },
      }
      await assert.rejects(t.database.transaction(failing))
      assert.equal(runs, 1)
    },
  },
  {
    name: 'a throw from closing rolls the work back',
    async run(t) {
      const failed = t.database.transaction({
        work: (tx) => t.add(tx, 'paid'),
        closing: () => {
          throw new Error('no receipt')
        },
      })
      await assert.rejects(failed, /no receipt/)
      assert.deepEqual(await t.effects(), [])
    },
  },
  {
    name: 'a throw from opened rolls back, also when the work swallows it and goes on',
    async run(t) {
      const caught: unknown[] = []
      const failed = t.database.transaction({
        opened: () => {
          throw new Error('taken')
        },
        work: async (tx) => {
          for (const text of ['first', 'second']) {
            try {
              await t.add(tx, text)
            } catch (error) {
              caught.push(error)
            }
          }
          return 'as if nothing had been'
        },
      })
      await assert.rejects(failed, /taken/)
      assert.deepEqual(await t.effects(), [])
      // An asynchronous handle may run it before the work begins, which then does not begin.
      assert.equal(caught.length, t.claims.mode === 'sync' ? 2 : 0)
    },
  },
  {
    name: 'a throw from opened rejects also when the work makes no statement',
    async run(t) {
      const failed = t.database.transaction({
        opened: () => {
          throw new Error('taken')
        },
        work: () => 'nothing',
      })
      await assert.rejects(failed, /taken/)
    },
  },
  {
    name: 'work may await real I/O before its first statement, while others write',
    async run(t) {
      const other = await t.another()
      const waiting = t.database.transaction({
        work: async (tx) => {
          await realIo()
          await t.add(tx, 'late')
        },
      })
      await t.database.transaction({ work: (tx) => t.add(tx, 'quick') })
      await other.transaction({ work: (tx) => t.add(tx, 'elsewhere') })
      await waiting
      assert.deepEqual((await t.effects()).toSorted(), ['elsewhere', 'late', 'quick'])
    },
  },
  {
    name: 'many that await real I/O first come to commit, each as a whole',
    async run(t) {
      const names = Array.from({ length: 10 }, (_, i) => String(i))
      const settled = await Promise.allSettled(
        names.map((name) =>
          t.database.transaction({
            work: async (tx) => {
              await realIo()
              await t.add(tx, `${name}a`)
              await t.add(tx, `${name}b`)
            },
          }),
        ),
      )
      const effects = await t.effects()
      for (const [i, { status }] of settled.entries()) {
        const own = effects.filter((text) => text.startsWith(names[i]!))
        assert.deepEqual(
          own,
          status === 'fulfilled' ? [`${i}a`, `${i}b`] : [],
          `transaction ${i} was ${status}`,
        )
      }
      assert.ok(settled.some(({ status }) => status === 'fulfilled'))
    },
  },
  {
    name: 'two transactions at once do not mix',
    async run(t) {
      const run = (name: string, fails: boolean) =>
        t.database.transaction({
          work: async (tx) => {
            await t.add(tx, `${name}1`)
            await Promise.resolve()
            await t.add(tx, `${name}2`)
            if (fails) throw new Error(name)
          },
        })
      await Promise.allSettled([run('a', false), run('b', true), run('c', false), run('d', true)])
      assert.deepEqual((await t.effects()).toSorted(), ['a1', 'a2', 'c1', 'c2'])
    },
  },
  {
    name: 'transactions of two openings of one database in one process do not block each other for ever',
    async run(t) {
      const other = await t.another()
      const run = (database: typeof other, name: string) =>
        database.transaction({
          work: async (tx) => {
            await t.add(tx, name)
            await Promise.resolve()
            await t.append(tx, database)
          },
        })
      await Promise.all([run(t.database, 'a'), run(other, 'b'), run(t.database, 'c'), run(other, 'd')])
      assert.deepEqual((await t.effects()).toSorted(), ['a', 'b', 'c', 'd'])
    },
  },
  {
    name: 'a transaction that awaits real I/O after its first statement is rolled back and says so',
    missing: syncOnly,
    async run(t) {
      const failed = t.database.transaction({
        work: async (tx) => {
          await t.add(tx, 'left open')
          await realIo()
          return 'as if nothing had been'
        },
      })
      await rejectsWith('store.transaction-left-open', () => failed)
      assert.deepEqual(await t.effects(), [])
    },
  },
  {
    name: 'others write while a transaction that was left open still hangs',
    missing: syncOnly,
    async run(t) {
      const other = await t.another()
      const hanging = Promise.withResolvers<void>()
      const begun = Promise.withResolvers<void>()
      const failed = t.database.transaction({
        work: async (tx) => {
          await t.add(tx, 'left open')
          begun.resolve()
          await hanging.promise
        },
      })
      await begun.promise
      await t.database.transaction({ work: (tx) => t.add(tx, 'here') })
      await other.transaction({ work: (tx) => t.add(tx, 'there') })
      assert.deepEqual(await t.effects(), ['here', 'there'])
      hanging.resolve()
      await rejectsWith('store.transaction-left-open', () => failed)
    },
  },
  {
    name: 'a handle that was left open is refused from then on, and cannot write into another’s transaction',
    missing: syncOnly,
    async run(t) {
      const failed = t.database.transaction({
        work: async (tx) => {
          await t.add(tx, 'left open')
          await realIo()
          await assert.rejects(t.add(tx, 'late'))
          await assert.rejects(t.append(tx))
        },
      })
      await rejectsWith('store.transaction-left-open', () => failed)
      assert.deepEqual(await t.effects(), [])
      assert.equal(await t.logged(), 0)
    },
  },
  {
    name: 'a transaction inside a transaction does not hang',
    missing: syncOnly,
    async run(t) {
      const outer = t.database.transaction({
        work: async (tx) => {
          await t.add(tx, 'outer')
          await t.database.transaction({ work: (inner) => t.add(inner, 'inner') })
        },
      })
      await rejectsWith('store.transaction-left-open', () => outer)
      assert.deepEqual(await t.effects(), ['inner'])
    },
  },
  {
    name: 'a transaction may await real I/O between its statements',
    missing: asyncOnly,
    async run(t) {
      await t.database.transaction({
        work: async (tx) => {
          await t.add(tx, 'first')
          await realIo()
          await t.add(tx, 'second')
        },
      })
      assert.deepEqual(await t.effects(), ['first', 'second'])
    },
  },
  {
    name: 'a transaction that is over is refused: after its commit, its rollback, and inside the next one',
    async run(t) {
      const kept: unknown[] = []
      await t.database.transaction({
        work: async (tx) => {
          kept.push(tx)
          await t.add(tx, 'a')
        },
      })
      await assert.rejects(
        t.database.transaction({
          work: async (tx) => {
            kept.push(tx)
            await t.add(tx, 'b')
            throw new Error('no')
          },
        }),
      )
      for (const tx of kept) await rejectsWith('store.transaction-closed', () => t.add(tx, 'late'))
      await t.database.transaction({
        work: async (current) => {
          await t.add(current, 'c')
          for (const tx of kept) {
            await rejectsWith('store.transaction-closed', () => t.add(tx, 'late'))
            await rejectsWith('store.transaction-closed', () => t.append(tx))
          }
        },
      })
      assert.deepEqual(await t.effects(), ['a', 'c'])
      assert.equal(await t.logged(), 0)
    },
  },
  {
    name: 'a statement that was prepared in a transaction is refused once that is over',
    missing: ({ prepares }) => (prepares ? undefined : 'the tool has no prepared statements'),
    async run(t) {
      let add: ((text: string) => unknown) | undefined
      await t.database.transaction({
        work: async (tx) => {
          add = t.subject.prepareAdd!(tx)
          await add('in time')
        },
      })
      await rejectsWith('store.transaction-closed', async () => await add!('late'))
      await t.database.transaction({
        work: async (tx) => {
          await t.add(tx, 'current')
          await rejectsWith('store.transaction-closed', async () => await add!('late'))
        },
      })
      assert.deepEqual(await t.effects(), ['in time', 'current'])
    },
  },
  {
    name: 'preparing a statement does not begin the transaction, so that work may still await',
    missing: ({ prepares }) => (prepares ? undefined : 'the tool has no prepared statements'),
    async run(t) {
      await t.database.transaction({
        work: async (tx) => {
          const add = t.subject.prepareAdd!(tx)
          await realIo()
          await add('after all')
        },
      })
      assert.deepEqual(await t.effects(), ['after all'])
    },
  },
  {
    name: 'statements that begin or end a transaction are refused, and what stood before them does not commit',
    async run(t) {
      for (const sql of t.subject.control) {
        const failed = t.database.transaction({
          work: async (tx) => {
            await t.add(tx, 'before')
            try {
              await t.subject.run(tx, sql)
            } catch {
              // As user code does that catches everything.
            }
            return 'as if nothing had been'
          },
        })
        await rejectsWith('store.transaction-control', () => failed)
        assert.deepEqual(await t.effects(), [], sql)
      }
      await t.database.transaction({ work: (tx) => t.add(tx, 'next') })
      assert.deepEqual(await t.effects(), ['next'])
    },
  },
  {
    name: 'statements that begin or end a transaction are refused also as the first ones',
    async run(t) {
      for (const sql of t.subject.control) {
        const failed = t.database.transaction({ work: async (tx) => void (await t.subject.run(tx, sql)) })
        await rejectsWith('store.transaction-control', () => failed)
      }
      await t.database.transaction({ work: (tx) => t.add(tx, 'next') })
    },
  },
]
