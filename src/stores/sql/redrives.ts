import type {
  NewRedrive,
  RedriveFilter,
  RedriveItem,
  RedriveJob,
  RedriveStep,
  RedriveStore,
} from '../../core/redrive.ts'
import type { AuditNote } from '../../core/store.ts'
import { audit } from './audit.ts'
import type { SqlAccess, SqlConnection } from './connection.ts'
import { type Dispositions, redrive } from './dead-letters.ts'
import { limitOf } from './limit.ts'
import {
  actions,
  portion,
  portionAt,
  redriveUnknown,
  toJob,
  upTo,
  waitAfter,
  whereOfJobs,
} from './redrive-rows.ts'
import { frozen } from './redrive-selection.ts'
import type { SqlRow } from './sql.ts'

export function redriveStore<C extends SqlConnection>(
  { read, write, snapshot }: SqlAccess<C>,
  dispositions: Dispositions<C>,
): RedriveStore {
  return {
    create: (job) => write((connection) => createJob(connection, job)),
    step: async () => {
      // Nothing is written when nothing is due (P15).
      const nextInMs = await nextIn(read)
      if (nextInMs === undefined || nextInMs > 0) return { redriven: 0, nextInMs }
      return write((connection) => step(connection, dispositions))
    },
    list: (filter) => listJobs(read, filter),
    show: (id) =>
      snapshot(async (connection) => {
        const job = await jobOf(connection, id)
        return job && { ...job, items: await itemsOf(connection, id) }
      }),
    change: (id, to, note) => write((connection) => changeJob(connection, id, to, note)),
  }
}

async function createJob(
  connection: SqlConnection,
  job: NewRedrive,
): Promise<{ readonly job: RedriveJob; readonly created: boolean }> {
  const known = await jobOf(connection, job.id)
  if (known) return { job: known, created: false }
  const letters = await frozen(connection, job)
  const isEmpty = letters.length === 0
  const { names, insertNew, rowsOf } = connection.dialect
  const inserted = await connection.run(
    insertNew(
      `waybill_redrives (id, state, per_second, ${names.sequence}, actor, because, created_at, next_at, ended_at, total)
       values (?, ?, ?, ?, ?, ?, waybill_now(), waybill_now(), ${isEmpty ? 'waybill_now()' : 'null'}, ?)`,
    ),
    job.id,
    isEmpty ? 'done' : 'running',
    job.perSecond,
    job.order,
    job.note.by,
    job.note.because,
    letters.length,
  )
  // Somebody else made it meanwhile, and has committed.
  if (inserted === 0) return { job: (await jobOf(connection, job.id))!, created: false }
  await connection.run(
    `insert into waybill_redrive_items (job_id, seq, grp, message_id, generation)
     select ?, ord - 1, grp, id, generation from ${rowsOf({ grp: 'text', id: 'text', generation: 'integer' })} letters`,
    job.id,
    JSON.stringify(letters.map(({ group, id, generation }) => [group, id, generation])),
  )
  await audit(connection, 'start-redrive', { redrive: job.id }, job.note)
  return { job: (await jobOf(connection, job.id))!, created: true }
}

async function step<C extends SqlConnection>(
  connection: C,
  dispositions: Dispositions<C>,
): Promise<RedriveStep> {
  // Instances take turns: whoever waited here finds the jobs as the other left them.
  const due = await connection.all(
    "select id, per_second, actor, because from waybill_redrives where state = 'running' and next_at <= waybill_now() order by next_at, id for update",
  )
  let redriven = 0
  let room = portion
  for (const job of due) {
    if (room === 0) break
    const done = await redriveNext(connection, dispositions, job, room)
    redriven += done.redriven
    room -= done.taken
  }
  return { redriven, nextInMs: await nextIn(connection) }
}

/** The job's next letters, as many as its rate and the transaction have room for. */
async function redriveNext<C extends SqlConnection>(
  connection: C,
  dispositions: Dispositions<C>,
  job: SqlRow,
  room: number,
): Promise<{ readonly redriven: number; readonly taken: number }> {
  const id = job['id'] as string
  const perSecond = job['per_second'] as number | null
  const items = upTo(portionAt(perSecond), await nextItems(connection, id, room))
  const letters = items
    .filter((item) => item['is_dead'])
    .map((item) => ({ group: item['grp'], id: item['message_id'] }))
  const note = { by: job['actor'], because: job['because'] }
  const redriven = await redrive(connection, dispositions, letters, note)
  await connection.run(
    connection.dialect.updateFrom(
      connection.dialect.rowsOf({ seq: 'integer', outcome: 'text' }),
      'waybill_redrive_items',
      { outcome: 'given.outcome', at: 'waybill_now()' },
      't.seq = given.seq and t.job_id = ?',
    ),
    JSON.stringify(items.map((item) => [item['seq'], item['is_dead'] ? 'redriven' : 'gone'])),
    id,
  )
  const isDone = (await nextItems(connection, id, 1)).length === 0
  await connection.run(
    `update waybill_redrives set redriven = redriven + ?, gone = gone + ?, next_at = least(waybill_now() + ?, ${Number.MAX_SAFE_INTEGER}),
       state = ?, ended_at = ${isDone ? 'waybill_now()' : 'null'} where id = ?`,
    redriven,
    items.length - redriven,
    waitAfter(redriven, perSecond),
    isDone ? 'done' : 'running',
    id,
  )
  return { redriven, taken: items.length }
}

/** A letter may have been redriven by somebody else, and have died anew: that is another generation, and not this job's (P3). */
function nextItems(connection: SqlConnection, job: string, limit: number): Promise<readonly SqlRow[]> {
  return connection.all(
    `select i.seq, i.grp, i.message_id, exists (
       select 1 from waybill_dispositions d where d.grp = i.grp and d.message_id = i.message_id and d.state = 'dead' and d.generation = i.generation
     ) as is_dead from waybill_redrive_items i where i.job_id = ? and i.outcome is null order by i.seq limit ?`,
    job,
    limit,
  )
}

/** Undefined while no job is running. */
async function nextIn(connection: SqlConnection): Promise<number | undefined> {
  const [row] = await connection.all(
    "select greatest(0, min(next_at) - waybill_now()) as ms from waybill_redrives where state = 'running' having min(next_at) is not null",
  )
  return row?.['ms'] as number | undefined
}

async function changeJob(
  connection: SqlConnection,
  id: string,
  to: 'running' | 'paused' | 'cancelled',
  note: AuditNote,
): Promise<RedriveJob> {
  const changed = await connection.run(
    `update waybill_redrives set state = ?, ended_at = ${to === 'cancelled' ? 'waybill_now()' : 'null'}
     where id = ? and state in ('running', 'paused') and state <> ?`,
    to,
    id,
    to,
  )
  const job = await jobOf(connection, id)
  if (!job) throw redriveUnknown(id)
  if (changed > 0) await audit(connection, actions[to], { redrive: id }, note)
  return job
}

async function listJobs(connection: SqlConnection, filter: RedriveFilter): Promise<readonly RedriveJob[]> {
  const { names, texts } = connection.dialect
  const { clause, params } = whereOfJobs(filter, texts)
  const rows = await connection.all(
    `select * from waybill_redrives ${clause} order by created_at desc, id desc limit ?`,
    ...params,
    limitOf(filter),
  )
  return rows.map((row) => toJob(row, names))
}

async function jobOf(connection: SqlConnection, id: string): Promise<RedriveJob | undefined> {
  return (await listJobs(connection, { id }))[0]
}

async function itemsOf(connection: SqlConnection, job: string): Promise<readonly RedriveItem[]> {
  const rows = await connection.all(
    'select grp, message_id, outcome, at from waybill_redrive_items where job_id = ? order by seq',
    job,
  )
  return rows.map((row) => ({
    group: row['grp'],
    id: row['message_id'],
    outcome: row['outcome'],
    at: row['at'],
  }))
}
