import type { MessageId } from '../../core/ids.ts'
import type {
  NewRedrive,
  RedriveFilter,
  RedriveItem,
  RedriveJob,
  RedriveStep,
  RedriveStore,
} from '../../core/redrive.ts'
import type { AuditNote } from '../../core/store.ts'
import { plainNames } from '../sql/dialect.ts'
import { limitOf } from '../sql/limit.ts'
import {
  actions,
  portion,
  portionAt,
  redriveUnknown,
  toJob,
  upTo,
  waitAfter,
  whereOfJobs,
} from '../sql/redrive-rows.ts'
import type { SqliteAccess } from './access.ts'
import { audit } from './audit.ts'
import { redrive } from './dead-letters.ts'
import type { Row, SqliteConnection } from './driver.ts'
import { frozen } from './redrive-selection.ts'

export function redriveStore({ read, write, now }: SqliteAccess): RedriveStore {
  return {
    create: (job) => write((connection) => createJob(connection, job, now())),
    step: async () => {
      // Nothing is written when nothing is due (P15).
      const next = read(nextAt)
      if (next === undefined || next > now()) return stepped(0, next, now())
      return write((connection) => step(connection, now()))
    },
    list: async (filter) => read((connection) => listJobs(connection, filter)),
    show: async (id) =>
      read((connection) => {
        const job = jobOf(connection, id)
        return job && { ...job, items: itemsOf(connection, id) }
      }),
    change: (id, to, note) => write((connection) => changeJob(connection, id, to, note, now())),
  }
}

function createJob(
  connection: SqliteConnection,
  job: NewRedrive,
  now: number,
): { readonly job: RedriveJob; readonly created: boolean } {
  const known = jobOf(connection, job.id)
  if (known) return { job: known, created: false }
  const letters = frozen(connection, job)
  const isEmpty = letters.length === 0
  connection.run(
    `insert into waybill_redrives (id, state, per_second, sequence, actor, because, created_at, next_at, ended_at, total) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    job.id,
    isEmpty ? 'done' : 'running',
    job.perSecond,
    job.order,
    job.note.by,
    job.note.because,
    now,
    now,
    isEmpty ? now : null,
    letters.length,
  )
  connection.run(
    `insert into waybill_redrive_items (job_id, seq, grp, message_id, generation)
     select ?, key, value ->> 0, value ->> 1, value ->> 2 from json_each(?)`,
    job.id,
    JSON.stringify(letters.map(({ group, id, generation }) => [group, id, generation])),
  )
  audit(connection, 'start-redrive', { redrive: job.id }, job.note, now)
  return { job: jobOf(connection, job.id)!, created: true }
}

function step(connection: SqliteConnection, now: number): RedriveStep {
  const due = connection.all(
    "select id, per_second, actor, because from waybill_redrives where state = 'running' and next_at <= ? order by next_at, id",
    now,
  )
  let redriven = 0
  let room = portion
  for (const job of due) {
    if (room === 0) break
    const done = redriveNext(connection, job, room, now)
    redriven += done.redriven
    room -= done.taken
  }
  return stepped(redriven, nextAt(connection), now)
}

/** The job's next letters, as many as its rate and the transaction have room for. */
function redriveNext(
  connection: SqliteConnection,
  job: Row,
  room: number,
  now: number,
): { readonly redriven: number; readonly taken: number } {
  const id = job['id'] as string
  const perSecond = job['per_second'] as number | null
  const items = upTo(portionAt(perSecond), nextItems(connection, id, room))
  const letters = items
    .filter((item) => item['is_dead'] === 1)
    .map((item) => ({ group: item['grp'] as string, id: item['message_id'] as MessageId }))
  const note = { by: job['actor'] as string, because: job['because'] as string }
  const redriven = redrive(connection, letters, note, now)
  for (const item of items)
    connection.run(
      'update waybill_redrive_items set outcome = ?, at = ? where job_id = ? and seq = ?',
      item['is_dead'] === 1 ? 'redriven' : 'gone',
      now,
      id,
      item['seq']!,
    )
  const isDone = nextItems(connection, id, 1).length === 0
  connection.run(
    'update waybill_redrives set redriven = redriven + ?, gone = gone + ?, next_at = ?, state = ?, ended_at = ? where id = ?',
    redriven,
    items.length - redriven,
    Math.min(now + waitAfter(redriven, perSecond), Number.MAX_SAFE_INTEGER),
    isDone ? 'done' : 'running',
    isDone ? now : null,
    id,
  )
  return { redriven, taken: items.length }
}

/** A letter may have been redriven by somebody else, and have died anew: that is another generation, and not this job's (P3). */
function nextItems(connection: SqliteConnection, job: string, limit: number): readonly Row[] {
  return connection.all(
    `select i.seq, i.grp, i.message_id, exists (
       select 1 from waybill_dispositions d where d.grp = i.grp and d.message_id = i.message_id and d.state = 'dead' and d.generation = i.generation
     ) as is_dead from waybill_redrive_items i where i.job_id = ? and i.outcome is null order by i.seq limit ?`,
    job,
    limit,
  )
}

function nextAt(connection: SqliteConnection): number | undefined {
  const row = connection.lists("select min(next_at) from waybill_redrives where state = 'running'")[0]!
  return (row[0] as number | null) ?? undefined
}

function stepped(redriven: number, next: number | undefined, now: number): RedriveStep {
  return { redriven, nextInMs: next === undefined ? undefined : Math.max(0, next - now) }
}

function changeJob(
  connection: SqliteConnection,
  id: string,
  to: 'running' | 'paused' | 'cancelled',
  note: AuditNote,
  now: number,
): RedriveJob {
  const changed = connection.run(
    "update waybill_redrives set state = ?, ended_at = ? where id = ? and state in ('running', 'paused') and state <> ?",
    to,
    to === 'cancelled' ? now : null,
    id,
    to,
  )
  const job = jobOf(connection, id)
  if (!job) throw redriveUnknown(id)
  if (changed > 0) audit(connection, actions[to], { redrive: id }, note, now)
  return job
}

function listJobs(connection: SqliteConnection, filter: RedriveFilter): readonly RedriveJob[] {
  const { clause, params } = whereOfJobs(filter, 'select value from json_each(?)')
  return connection
    .all(
      `select * from waybill_redrives ${clause} order by created_at desc, id desc limit ?`,
      ...params,
      limitOf(filter),
    )
    .map((row) => toJob(row, plainNames))
}

function jobOf(connection: SqliteConnection, id: string): RedriveJob | undefined {
  return listJobs(connection, { id })[0]
}

function itemsOf(connection: SqliteConnection, job: string): readonly RedriveItem[] {
  return connection
    .lists(
      'select grp, message_id, outcome, at from waybill_redrive_items where job_id = ? order by seq',
      job,
    )
    .map(([group, id, outcome, at]) => ({
      group: group as string,
      id: id as MessageId,
      outcome: outcome as RedriveItem['outcome'],
      at: at as number | null,
    }))
}
