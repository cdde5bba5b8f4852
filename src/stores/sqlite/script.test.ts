import { expect, test } from 'vitest'
import { controlsTransaction, statementsOf } from './script.ts'

test.each([
  'commit',
  'COMMIT;',
  ' end transaction',
  'begin',
  'Begin Immediate',
  'rollback',
  'rollback transaction',
  '-- a note\ncommit',
  '/* a */ /* b; */ commit',
  '; commit',
  "insert into a values ('x'); commit",
  "insert into a values ('x'); commit; begin",
  "insert into a values ('it''s; '); rollback",
  'insert into "a;b" values (1); end',
  'update [a;b] set c = `d;e`; commit',
  "attach 'x.db' as x",
  'detach x',
  'create trigger t after insert on a begin delete from b; end; commit',
  'create temp trigger t after insert on a begin select case when 1 then 2 end; end; commit',
])('controls the transaction: %s', (sql) => {
  expect(controlsTransaction(sql)).toBe(true)
})

test.each([
  '',
  ';',
  '-- commit',
  '/* commit',
  "select 'commit'",
  "insert into a values ('; commit')",
  'select "commit;" from [; commit]',
  'savepoint s; rollback to s; release s',
  'rollback transaction to savepoint s',
  'rollback to s',
  'select case when a then b end from c',
  'create trigger t after insert on a begin insert into b values (1); update c set d = case when 1 then 2 else 3 end; end',
  'create temporary trigger t after insert on a begin delete from b; end; select 1',
  'create table "begin" (a); select * from "begin"',
  'update endings set begin_at = 1',
])('leaves the transaction alone: %s', (sql) => {
  expect(controlsTransaction(sql)).toBe(false)
})

test('a statement is named by its first words', () => {
  expect([...statementsOf("Select 1; -- two\nINSERT into x values ('a;b') ;; drop")]).toEqual([
    'select ?',
    'insert into x',
    'drop',
  ])
})
