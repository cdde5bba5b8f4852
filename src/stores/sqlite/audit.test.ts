import { expect, test } from 'vitest'
import { sqliteSubject } from '../../conformance/sqlite-subject.ts'
import { StoreBench } from '../../conformance/store-bench.ts'
import { sqlite } from '../../databases/sqlite.ts'
import { testPorts } from '../../testing/ports.ts'
import type { SqliteTx } from './driver.ts'

const ann = { by: 'ann', because: 'the bank is down' }

async function withAudit(
  work: (t: StoreBench, audited: () => Promise<readonly unknown[]>) => Promise<void>,
): Promise<void> {
  const ports = testPorts()
  const subject = await sqliteSubject({ at: sqlite, ports, advance: (ms) => ports.clock.advance(ms) })
  await StoreBench.use(subject, (t) => {
    const audited = (): Promise<readonly unknown[]> =>
      t.transaction((tx) =>
        (tx as SqliteTx)
          .prepare('select action, actor, because, grp, redrive_id from waybill_audit order by rowid')
          .all()
          .map((row: object) => Object.values(row)),
      )
    return work(t, audited)
  })
}

test('what an operator does to a group is kept in the audit, and what changes nothing is not', () =>
  withAudit(async (t, audited) => {
    await t.group('coupon')
    const { groups } = t.store
    for (const act of ['resume', 'pause', 'pause', 'resume'] as const) await groups[act]('coupon', ann)
    await t.publish({})
    await expect(groups.remove('coupon', ann, { abandon: false })).rejects.toMatchObject({
      code: 'group.not-empty',
    })
    await groups.remove('coupon', ann, { abandon: true })
    expect(await audited()).toEqual(
      ['pause-group', 'resume-group', 'remove-group'].map((action) => [
        action,
        ann.by,
        ann.because,
        'coupon',
        null,
      ]),
    )
  }))

test('a redrive is in the audit with all that was done to it, and each letter with the one who started it', () =>
  withAudit(async (t, audited) => {
    await t.buryAll(await withMessages(t, 2))
    const bob = { by: 'bob', because: 'too early' }
    const { redrives } = t.store
    const job = {
      id: 'job',
      selection: {},
      generationsMax: Infinity,
      perSecond: 1,
      order: 'oldest-first',
    } as const
    await redrives.create({ ...job, note: ann })
    await redrives.create({ ...job, note: bob })
    for (const to of ['paused', 'paused', 'running'] as const) await redrives.change('job', to, bob)
    await redrives.step()
    for (const to of ['cancelled', 'running'] as const) await redrives.change('job', to, bob)
    expect(await audited()).toEqual([
      ['start-redrive', ann.by, ann.because, null, 'job'],
      ['pause-redrive', bob.by, bob.because, null, 'job'],
      ['resume-redrive', bob.by, bob.because, null, 'job'],
      ['redrive', ann.by, ann.because, 'coupon', null],
      ['cancel-redrive', bob.by, bob.because, null, 'job'],
    ])
  }))

async function withMessages(t: StoreBench, count: number): ReturnType<StoreBench['groupWithLease']> {
  const lease = await t.groupWithLease('coupon')
  await t.publishMany(count)
  return lease
}
