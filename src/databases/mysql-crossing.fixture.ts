import { isOnMysql } from '../../scripts/services/index.ts'
import { expect } from 'vitest'
import { topic } from '../index.ts'
import type { Meeting } from './conflicts.fixture.ts'
import { migrated } from './connected-tool.fixture.ts'
import type { Crossing } from './crossing.fixture.ts'
import { MysqlProxy } from './mysql-proxy.fixture.ts'
import type { Connect, TestPool } from './tool-server.fixture.ts'

const OrderPaid = topic<{ n: number }>('order.paid')
const message = { body: { n: 1 } }

const business = [
  'create table business (n integer primary key, text longtext not null)',
  "insert into business values (1, ''), (2, '')",
]

export const mysqlCrossing: Crossing = {
  prepare: [
    // What Waybill or the tools make without saying how falls back on this.
    'alter database character set latin1 collate latin1_german2_ci',
    'create table seen (text longtext not null) character set utf8mb4',
  ],
  insertSeen: 'insert into seen (text) values (?)',
  settings: [
    "set session sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT,IGNORE_SPACE'",
    "set session time_zone = '+05:45'",
    "set session collation_connection = 'utf8mb4_general_ci'",
    "set session lc_time_names = 'de_DE'",
    'set session div_precision_increment = 0',
    'set session group_concat_max_len = 4',
  ],
  conflicts: {
    prepare: [...business, 'create table effects (conflict varchar(100) not null)'],
    insertEffect: 'insert into effects values (?)',
    waitLittle: 'set session innodb_lock_wait_timeout = 0',
    own: [{ name: 'a deadlock', meet: meetDeadlock }],
  },
  failing: (connect) => [
    {
      name: 'a deadlock that the work lets out is known as one, whatever the tool makes of it',
      run: () => expectDeadlockKnown(connect),
    },
    {
      name: 'a deadlock that is swallowed commits nothing of what comes after it',
      run: () => expectNothingAfterDeadlock(connect),
    },
    ...(isOnMysql
      ? []
      : [
          {
            name: 'P32: a row that changed since it was read ends the transaction, and nothing is published after it',
            run: () => expectNothingAfterChange(connect),
          },
        ]),
    {
      name: 'a COMMIT that was not answered is said to be open, whether it took effect or not',
      run: () => expectUnansweredTold(connect),
    },
    {
      name: 'P32: publish refuses a transaction of another database',
      run: () => expectElsewhereRefused(connect),
    },
  ],
}

async function expectDeadlockKnown<Tx>(connect: Connect<Tx>): Promise<void> {
  const { tool, pool } = await connect()
  for (const statement of business) await pool.rows(statement)
  const waybill = await migrated(tool)
  const transaction = waybill.transaction(async (tx) => {
    await tool.run(tx, "update business set text = 'tool' where n = 1", [])
    const blocked = await heavier(pool)
    try {
      await tool.run(tx, "update business set text = 'tool' where n = 2", [])
    } finally {
      await blocked.end()
    }
  })
  await expect(transaction).rejects.toMatchObject({ code: 'store.busy' })
  await waybill.stop()
}

async function expectNothingAfterDeadlock<Tx>(connect: Connect<Tx>): Promise<void> {
  const { tool, pool } = await connect()
  for (const statement of business) await pool.rows(statement)
  const waybill = await migrated(tool)
  const work = async (tx: Tx): Promise<void> => {
    await tool.run(tx, "update business set text = 'tool' where n = 1", [])
    const blocked = await heavier(pool)
    await expect(tool.run(tx, "update business set text = 'tool' where n = 2", [])).rejects.toThrow(/./)
    await blocked.end()
    await expect(async () => waybill.publish(tx, OrderPaid, message)).rejects.toThrow(
      /store.busy|publish.no-transaction|transaction/,
    )
  }
  await expect(waybill.transaction(work)).rejects.toMatchObject({ code: 'store.busy' })
  await tool.transaction(work).catch(() => {})
  expect(await pool.rows("select * from business where text = 'tool'")).toEqual([])
  expect(await waybill.search({ topic: OrderPaid.name })).toEqual([])
  await waybill.stop()
}

/** MariaDB's innodb_snapshot_isolation, which is on by default since 11.6: that error rolls the whole transaction back. */
async function expectNothingAfterChange<Tx>(connect: Connect<Tx>): Promise<void> {
  const { tool, pool } = await connect()
  for (const statement of business) await pool.rows(statement)
  const waybill = await migrated(tool)
  await tool
    .transaction(async (tx) => {
      await tool.run(tx, 'set session innodb_snapshot_isolation = on', [])
      await tool.run(tx, "insert into business values (50, 'tool')", [])
      await tool.run(tx, 'select * from business', [])
      await pool.rows("update business set text = 'other' where n = 1")
      const change = tool.run(tx, "update business set text = 'tool' where n = 1", [])
      await expect(change).rejects.toThrow(/./)
      await expect(async () => waybill.publish(tx, OrderPaid, message)).rejects.toThrow(
        /store.busy|publish.no-transaction|transaction/,
      )
    })
    .catch(() => {})
  expect(await pool.rows("select * from business where text = 'tool'")).toEqual([])
  expect(await waybill.search({ topic: OrderPaid.name })).toEqual([])
  await waybill.stop()
}

async function meetDeadlock({ run, pool, clear }: Meeting): Promise<void> {
  await run("update business set text = 'tool' where n = 1")
  const blocked = await heavier(pool)
  clear(blocked.end)
  await run("update business set text = 'tool' where n = 2")
}

/** Holds row 2, waits for row 1, and has written more, so that the server ends the other one. */
async function heavier(pool: TestPool): Promise<{ end(): Promise<void> }> {
  const connection = await pool.connection()
  await connection.query('start transaction')
  await connection.query(
    'create temporary table numbers as with recursive n (seq) as (select 1 union all select seq + 1 from n where seq < 200) select seq from n',
  )
  await connection.query("insert into business select seq + 100, '' from numbers")
  await connection.query("update business set text = 'other' where n = 2")
  const blocked = connection.query("update business set text = 'other' where n = 1")
  return {
    end: async () => {
      await blocked
      await connection.query('rollback')
      await connection.query('drop temporary table numbers')
      connection.release()
    },
  }
}

async function expectUnansweredTold<Tx>(connect: Connect<Tx>): Promise<void> {
  await using proxy = await MysqlProxy.start()
  const { tool, pool } = await connect((url) => proxy.before(url))
  await pool.rows('create table at_commit (text varchar(50) primary key)')
  const waybill = await migrated(tool)
  const commit = (text: string): Promise<unknown> =>
    waybill.transaction(async (tx) => {
      await tool.run(tx, 'insert into at_commit (text) values (?)', [text])
      if (text.startsWith('cut')) proxy.cutAt = text as 'cut before' | 'cut after'
    })
  await expect(commit('cut before')).rejects.toMatchObject({ code: 'store.commit-unknown' })
  await expect(commit('cut after')).rejects.toMatchObject({ code: 'store.commit-unknown' })
  await commit('pass')
  expect(await pool.rows('select text from at_commit order by text')).toEqual([
    { text: 'cut after' },
    { text: 'pass' },
  ])
  await waybill.stop()
}

async function expectElsewhereRefused<Tx>(connect: Connect<Tx>): Promise<void> {
  const here = await connect()
  const elsewhere = await connect()
  const waybill = await migrated(here.tool)
  await elsewhere.tool.transaction((tx) =>
    expect((async () => waybill.publish(tx, OrderPaid, message))()).rejects.toMatchObject({
      code: 'publish.handle-unknown',
    }),
  )
  await waybill.stop()
}
