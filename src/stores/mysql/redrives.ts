import { WaybillError } from '../../core/errors.ts'
import type {
  NewRedrive,
  RedriveFilter,
  RedriveItem,
  RedriveJob,
  RedriveStep,
  RedriveStore,
} from '../../core/redrive.ts'
import type { AuditNote } from '../../core/store.ts'
import type { MyAccess } from './access.ts'
import { audit } from './audit.ts'
import type { MyConnection } from './connection.ts'
import { redrive } from './dead-letters.ts'
import type { MyRow, MyValue } from './driver.ts'
import { frozen } from './redrive-selection.ts'
import { rowsOf, texts } from './rows.ts'

/** Letters that one transaction redrives: short enough for writers that wait meanwhile. */
const portion = 100
const portionsPerSecond = 10
const limitDefault = 100
const limitMax = 1_000

export function redriveStore({ read, write, snapshot }: MyAccess): RedriveStore {
  return {
    create: (job) => write((connection) => createJob(connection, job)),
    step: async () => {
      // Nothing is written when nothing is due (P15).
      const nextInMs = await nextIn(read)
      if (nextInMs === undefined || nextInMs > 0) return { redriven: 0, nextInMs }
      return write(step)
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

const insertJob = `insert ignore into waybill_redrives (id, state, per_second, ordering, actor, because, created_at, next_at, ended_at, total)
  values (?, ?, ?, ?, ?, ?, waybill_now(), waybill_now(), if(?, waybill_now(), null), ?)`

async function createJob(
  connection: MyConnection,
  job: NewRedrive,
): Promise<{ readonly job: RedriveJob; readonly created: boolean }> {
  const known = await jobOf(connection, job.id)
  if (known) return { job: known, created: false }
  const letters = await frozen(connection, job)
  const isEmpty = letters.length === 0
  const inserted = await connection.run(
    insertJob,
    job.id,
    isEmpty ? 'done' : 'running',
    job.perSecond,
    job.order,
    job.note.by,
    job.note.because,
    isEmpty,
    letters.length,
  )
  // Somebody else made it meanwhile, and has committed.
  if (inserted === 0) return { job: (await jobOf(connection, job.id))!, created: false }
  await connection.run(
    `insert into waybill_redrive_items (job_id, seq, grp, message_id, generation)
     select ?, ord - 1, grp, id, generation from ${rowsOf('grp varchar(255)', 'id varchar(255)', 'generation integer')} letters`,
    job.id,
    JSON.stringify(letters.map(({ group, id, generation }) => [group, id, generation])),
  )
  await audit(connection, 'start-redrive', { redrive: job.id }, job.note)
  return { job: (await jobOf(connection, job.id))!, created: true }
}

async function step(connection: MyConnection): Promise<RedriveStep> {
  // Instances take turns: whoever waited here finds the jobs as the other left them.
  const due = await connection.all(
    "select id, per_second, actor, because from waybill_redrives where state = 'running' and next_at <= waybill_now() order by next_at, id for update",
  )
  let redriven = 0
  let room = portion
  for (const job of due) {
    if (room === 0) break
    const done = await redriveNext(connection, job, room)
    redriven += done.redriven
    room -= done.taken
  }
  return { redriven, nextInMs: await nextIn(connection) }
}

/** The job's next letters, as many as its rate and the transaction have room for. */
async function redriveNext(
  connection: MyConnection,
  job: MyRow,
  room: number,
): Promise<{ readonly redriven: number; readonly taken: number }> {
  const id = job['id'] as string
  const perSecond = job['per_second'] as number | null
  const items = upTo(portionAt(perSecond), await nextItems(connection, id, room))
  const letters = items
    .filter((item) => item['is_dead'] === 1)
    .map((item) => ({ group: item['grp'], id: item['message_id'] }))
  const note = { by: job['actor'], because: job['because'] }
  const redriven = await redrive(connection, letters, note)
  await connection.run(
    `update ${rowsOf('seq integer', 'outcome varchar(20)')} given straight_join waybill_redrive_items i on i.seq = given.seq
     set i.outcome = given.outcome, i.at = waybill_now() where i.job_id = ?`,
    JSON.stringify(items.map((item) => [item['seq'], item['is_dead'] === 1 ? 'redriven' : 'gone'])),
    id,
  )
  const isDone = (await nextItems(connection, id, 1)).length === 0
  const waitMs = perSecond === null ? 0 : Math.ceil((redriven * 1_000) / perSecond)
  await connection.run(
    `update waybill_redrives set redriven = redriven + ?, gone = gone + ?, next_at = least(waybill_now() + ?, ${Number.MAX_SAFE_INTEGER}),
       state = ?, ended_at = if(?, waybill_now(), null) where id = ?`,
    redriven,
    items.length - redriven,
    Math.min(waitMs, Number.MAX_SAFE_INTEGER),
    isDone ? 'done' : 'running',
    isDone,
    id,
  )
  return { redriven, taken: items.length }
}

/** A letter may have been redriven by somebody else, and have died anew: that is another generation, and not this job's (P3). */
function nextItems(connection: MyConnection, job: string, limit: number): Promise<readonly MyRow[]> {
  return connection.all(
    `select i.seq, i.grp, i.message_id, exists (
       select 1 from waybill_dispositions d where d.grp = i.grp and d.message_id = i.message_id and d.state = 'dead' and d.generation = i.generation
     ) as is_dead from waybill_redrive_items i where i.job_id = ? and i.outcome is null order by i.seq limit ?`,
    job,
    limit,
  )
}

/** As many of the items as have no more letters to redrive than this: those that are gone use up nothing of the rate. */
function upTo(lettersMax: number, items: readonly MyRow[]): readonly MyRow[] {
  let letters = 0
  const end = items.findIndex((item) => item['is_dead'] === 1 && ++letters > lettersMax)
  return end < 0 ? items : items.slice(0, end)
}

/** How many letters at a time: spread over the second, but not in a transaction for each where the rate is high. */
function portionAt(perSecond: number | null): number {
  if (perSecond === null) return portion
  return Math.max(1, Math.min(portion, Math.floor(perSecond / portionsPerSecond)))
}

/** Undefined while no job is running. */
async function nextIn(connection: MyConnection): Promise<number | undefined> {
  const [row] = await connection.all(
    "select greatest(0, min(next_at) - waybill_now()) as ms from waybill_redrives where state = 'running' having min(next_at) is not null",
  )
  return row?.['ms'] as number | undefined
}

async function changeJob(
  connection: MyConnection,
  id: string,
  to: 'running' | 'paused' | 'cancelled',
  note: AuditNote,
): Promise<RedriveJob> {
  const changed = await connection.run(
    `update waybill_redrives set state = ?, ended_at = if(?, waybill_now(), null)
     where id = ? and state in ('running', 'paused') and state <> ?`,
    to,
    to === 'cancelled',
    id,
    to,
  )
  const job = await jobOf(connection, id)
  if (!job) throw new WaybillError('redrive.unknown', `there is no redrive ${id} in this database`, { id })
  if (changed > 0) await audit(connection, actions[to], { redrive: id }, note)
  return job
}

const actions = { running: 'resume-redrive', paused: 'pause-redrive', cancelled: 'cancel-redrive' } as const

async function listJobs(connection: MyConnection, filter: RedriveFilter): Promise<readonly RedriveJob[]> {
  const conditions = ['true']
  const params: MyValue[] = []
  if (filter.id !== undefined) {
    conditions.push('id = ?')
    params.push(filter.id)
  }
  if (filter.states !== undefined) {
    conditions.push(`state in (${texts})`)
    params.push(JSON.stringify(filter.states))
  }
  const rows = await connection.all(
    `select * from waybill_redrives where ${conditions.join(' and ')} order by created_at desc, id desc limit ?`,
    ...params,
    Math.min(filter.limit ?? limitDefault, limitMax),
  )
  return rows.map(toJob)
}

async function jobOf(connection: MyConnection, id: string): Promise<RedriveJob | undefined> {
  return (await listJobs(connection, { id }))[0]
}

function toJob(row: MyRow): RedriveJob {
  return {
    id: row['id'],
    state: row['state'],
    perSecond: row['per_second'],
    order: row['ordering'],
    by: row['actor'],
    because: row['because'],
    createdAt: row['created_at'],
    endedAt: row['ended_at'],
    total: row['total'],
    redriven: row['redriven'],
    gone: row['gone'],
  }
}

async function itemsOf(connection: MyConnection, job: string): Promise<readonly RedriveItem[]> {
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
