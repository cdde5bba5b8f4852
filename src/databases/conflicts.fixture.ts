import { expect } from 'vitest'
import { fixedRetries, topic } from '../index.ts'
import { until } from '../testing/until.ts'
import { migrated } from './connected-tool.fixture.ts'
import type { Connect, TestPool } from './tool-server.fixture.ts'

/** What differs by the kind of server. */
export interface Conflicts {
  /** Makes the tables `business`, with the columns `n` and `text` and a row 1, and `effects`, with a column `conflict`. */
  readonly prepare: readonly string[]
  readonly insertEffect: string
  /** Has what comes next in the transaction wait for a lock for as good as no time. */
  readonly waitLittle: string
  readonly own: readonly Conflict[]
}

/** What is in the way of another transaction for a while. */
export interface Conflict {
  readonly name: string
  /** Statements of the user's, one of which fails. */
  meet(given: Meeting): Promise<unknown>
}

export interface Meeting {
  readonly run: (sql: string) => Promise<unknown>
  /** Writes row 1 of `business` as users of the tool do. */
  readonly write: () => Promise<unknown>
  readonly pool: TestPool
  /** Clears the way, once the handler runs again. */
  readonly clear: (clear: () => Promise<void>) => void
}

const Conflicting = topic<{ conflict: string }>('conflicts.conflicting')

export async function expectRunAgainAtOnce<Tx>(
  { prepare, insertEffect, waitLittle, own }: Conflicts,
  connect: Connect<Tx>,
): Promise<void> {
  const { tool, pool } = await connect()
  for (const statement of prepare) await pool.rows(statement)
  const effects = async (): Promise<readonly string[]> =>
    (await pool.rows('select conflict from effects')).map(({ conflict }) => conflict)
  const conflicts = [...own, ...lockConflicts(waitLittle)]
  const inTheWay: (() => Promise<void>)[] = []
  const clearAll = async (): Promise<void> => {
    for (const clear of inTheWay.splice(0)) await clear()
  }
  const waybill = await migrated(tool)
  const runs: { readonly conflict: string; readonly attempt: number }[] = []
  const options = { group: 'conflicting', from: 'oldest', retry: fixedRetries('20ms') } as const
  waybill.consume(Conflicting, options, async ({ body: { conflict } }, { tx, attempt }) => {
    const isFirst = !runs.some((run) => run.conflict === conflict)
    runs.push({ conflict, attempt })
    await clearAll()
    await tool.run(tx, insertEffect, [conflict])
    if (!isFirst) return
    await conflicts
      .find(({ name }) => name === conflict)!
      .meet({
        run: (sql) => tool.run(tx, sql, []),
        write: () => tool.write(tx),
        pool,
        clear: (clear) => inTheWay.push(clear),
      })
  })
  await waybill.start()
  try {
    for (const { name } of conflicts) {
      await waybill.publishNow(Conflicting, { body: { conflict: name } })
      await until(`${name} is over`, async () => (await effects()).includes(name))
    }
  } finally {
    await clearAll()
    await waybill.stop()
  }
  const names = conflicts.map(({ name }) => name)
  expect(runs).toEqual(
    names.flatMap((conflict) => [
      { conflict, attempt: 1 },
      { conflict, attempt: 1 },
    ]),
  )
  expect((await effects()).toSorted()).toEqual(names.toSorted())
}

function lockConflicts(waitLittle: string): readonly Conflict[] {
  return [
    {
      name: 'a lock that is taken',
      meet: async (given) => {
        await lockRow(given)
        await given.run('select n from business where n = 1 for update nowait')
      },
    },
    {
      name: 'a wait for a lock that runs out',
      meet: async (given) => {
        await lockRow(given)
        await given.run(waitLittle)
        await given.write()
      },
    },
  ]
}

async function lockRow({ pool, clear }: Meeting): Promise<void> {
  const other = await pool.connection()
  await other.query('start transaction')
  await other.query('select n from business where n = 1 for update')
  clear(async () => {
    await other.query('rollback')
    other.release()
  })
}
