import { expect } from 'vitest'
import { topic } from '../index.ts'
import { migrated } from './connected-tool.fixture.ts'
import type { Crossing } from './crossing.fixture.ts'
import type { Connect } from './tool-server.fixture.ts'

const OrderPaid = topic<{ n: number }>('order.paid')
const message = { body: { n: 1 } }

export const postgresCrossing: Crossing = {
  prepare: ['create table seen (text text not null, at timestamptz default now())'],
  insertSeen: 'insert into seen (text) values ($1)',
  settings: [
    "set time zone 'Asia/Kathmandu'",
    "set datestyle = 'German, DMY'",
    'set standard_conforming_strings = off',
    'set escape_string_warning = off',
    "set intervalstyle = 'sql_standard'",
    'set extra_float_digits = -15',
    "set xmloption = 'document'",
    'set array_nulls = off',
    'set transform_null_equals = on',
  ],
  conflicts: {
    prepare: [
      'create table business (n integer primary key, text text not null)',
      "insert into business values (1, '')",
      'create table effects (conflict text not null)',
    ],
    insertEffect: 'insert into effects values ($1)',
    waitLittle: "set local lock_timeout = '1ms'",
    own: [
      { name: 'a serialisation failure', meet: ({ run }) => run(raising('40001')) },
      { name: 'a deadlock', meet: ({ run }) => run(raising('40P01')) },
    ],
  },
  failing: (connect) => [
    {
      name: 'a statement that failed and was swallowed commits nothing',
      run: () => expectSwallowedFails(connect),
    },
    {
      name: 'a serialisation failure is known as one, whatever the tool makes of it',
      run: () => expectPassingKnown(connect),
    },
    {
      name: 'a COMMIT that was not answered is told apart from one that failed',
      run: () => expectUnansweredTold(connect),
    },
  ],
}

async function expectSwallowedFails<Tx>(connect: Connect<Tx>): Promise<void> {
  const { tool, pool } = await connect()
  const waybill = await migrated(tool)
  const transaction = waybill.transaction(async (tx) => {
    await waybill.publish(tx, OrderPaid, message)
    await tool.run(tx, 'select 1/0', []).catch(() => {})
  })
  await expect(transaction).rejects.toThrow(/store.transaction-failed|division by zero/)
  expect(await pool.rows('select 1 from waybill_messages')).toEqual([])
  await waybill.stop()
}

async function expectPassingKnown<Tx>(connect: Connect<Tx>): Promise<void> {
  const { tool } = await connect()
  const waybill = await migrated(tool)
  await expect(waybill.transaction((tx) => tool.run(tx, raising('40001'), []))).rejects.toMatchObject({
    code: 'store.busy',
  })
  await waybill.stop()
}

function raising(state: string): string {
  return `do $$ begin raise exception 'x' using errcode = '${state}'; end $$`
}

async function expectUnansweredTold<Tx>(connect: Connect<Tx>): Promise<void> {
  const { tool, pool } = await connect()
  await pool.rows(atCommit)
  const waybill = await migrated(tool)
  const commit = (text: string): Promise<unknown> =>
    waybill.transaction((tx) => tool.run(tx, 'insert into at_commit (text) values ($1)', [text]))
  await expect(commit('die')).rejects.toMatchObject({ code: 'store.commit-unknown' })
  await expect(commit('fail')).rejects.not.toMatchObject({ code: 'store.commit-unknown' })
  await commit('pass')
  expect(await pool.rows('select text from at_commit')).toEqual([{ text: 'pass' }])
  await waybill.stop()
}

/** The trigger runs in COMMIT: it kills the connection, fails, or does nothing. */
const atCommit = `
create table at_commit (text text not null);
create function at_commit() returns trigger language plpgsql as $$
begin
  if new.text = 'die' then perform pg_terminate_backend(pg_backend_pid()); end if;
  if new.text = 'fail' then perform 1 / 0; end if;
  return null;
end $$;
create constraint trigger at_commit after insert on at_commit
  deferrable initially deferred for each row execute function at_commit()`
