import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  type DeadLetterFilter,
  type RedriveJob,
  type RedriveOptions,
  type RedriveState,
  WaybillError,
  isWaybillError,
  redriveStates,
} from '../index.ts'
import { type Noted, type Shared, noteOf, noted, print, shared } from './command.ts'
import { type DeadFilters, allOfThem, deadFilters, meantFilterOf } from './dead.ts'
import { Progress } from './progress.ts'
import { type AnyWaybill, type Target, targets, withTarget } from './targets.ts'
import { wait } from './wait.ts'

type Named<Job> = Job & { readonly database: string }

interface StartOptions extends Shared, Noted, DeadFilters {
  readonly all?: boolean
  readonly job?: string
  readonly rate?: number
  readonly newestFirst?: boolean
  readonly generationsMax?: number
  readonly wait?: boolean
}

/** How often a redrive that waits for nothing of its own is looked at. */
const lookEveryMs = 1_000

/** `waybill redrives start | list | show | pause | resume | cancel` */
export function redrivesCommands(program: Command): void {
  const redrives = program
    .command('redrives')
    .description('many dead letters delivered again at a rate: start, list, show, pause, resume, cancel')
  startCommand(redrives)
  shared(redrives.command('list'))
    .description('redrives, newest first')
    .addOption(new Option('--state <state>', 'only these').choices(redriveStates))
    .action(async (options: Shared & { readonly state?: RedriveState }) => {
      const filter = options.state === undefined ? {} : { states: [options.state] }
      const jobs = await inEach(await targets(options.database), (waybill) => waybill.redrives.list(filter))
      print(options, jobs, () => jobs.map(describe).join('\n') || 'no redrives')
    })
  shared(redrives.command('show <id>'))
    .description('a redrive with what became of each of its messages')
    .action(async (id: string, options: Shared) => {
      const shown = await whereKnown(options, id, (waybill) => waybill.redrives.show(id))
      print(options, shown, () => shown.map(describeWithItems).join('\n'))
    })
  for (const [change, description] of [
    ['pause', 'stop between two messages, until it is resumed'],
    ['resume', 'let a paused redrive go on'],
    ['cancel', 'end a redrive: what it has not redriven stays dead'],
  ] as const) {
    noted(shared(redrives.command(`${change} <id>`)), 'in the audit')
      .description(description)
      .action(async (id: string, options: Shared & Noted) => {
        const changed = await whereKnown(options, id, (waybill) =>
          waybill.redrives[change](id, noteOf(options)),
        )
        print(options, changed, () => changed.map(describe).join('\n'))
      })
  }
}

function startCommand(redrives: Command): void {
  allOfThem(noted(deadFilters(shared(redrives.command('start'))), 'with the redrive and in the audit'))
    .description('redrive the dead letters that are there now; running instances of the service do the work')
    .option('--job <id>', 'the id of the redrive: the same again starts nothing new')
    .option('--rate <perSecond>', 'how many per second, all instances together; default: at once', numberOf)
    .option('--newest-first', 'default: oldest first. The order of each key is kept either way')
    .option('--generations-max <n>', 'leave out what was redriven so often already', numberOf)
    .option('--wait', 'do the work here until it is done: for when no instance runs')
    .action(async (options: StartOptions) => {
      const filter = meantFilterOf(options, 'redrive')
      const jobs = await inEach(await targets(options.database), async (waybill, { name }) => {
        const job = await startIn(waybill, filter, options)
        return job && options.wait ? [await finish(waybill, job, name)] : job ? [job] : []
      })
      print(options, jobs, () => jobs.map(describe).join('\n') || 'no dead letters to redrive')
    })
}

function numberOf(text: string): number {
  const number = Number(text)
  if (text.trim() === '' || !(number > 0)) throw new InvalidArgumentError('It must be a number above 0.')
  return number
}

/** None where the database has nothing to redrive, unless the job is there already. */
async function startIn(
  waybill: AnyWaybill,
  filter: DeadLetterFilter,
  options: StartOptions,
): Promise<RedriveJob | undefined> {
  const { job: id, rate, newestFirst, generationsMax } = options
  const [known] = id === undefined ? [] : await waybill.redrives.list({ id })
  if (known) return known
  if ((await waybill.deadLetters.list({ ...filter, limit: 1 })).length === 0) return undefined
  const how: RedriveOptions = {
    ...noteOf(options),
    ...(id === undefined ? {} : { id }),
    ...(rate === undefined ? {} : { perSecond: rate }),
    ...(newestFirst ? { order: 'newest-first' } : {}),
    ...(generationsMax === undefined ? {} : { generationsMax }),
  }
  return waybill.redrives.start(filter, how)
}

/** Works on it, beside instances that may do so too, until it is no longer running. */
async function finish(waybill: AnyWaybill, begun: RedriveJob, database: string): Promise<RedriveJob> {
  const progress = new Progress(process.stderr)
  for (let job = begun; ;) {
    progress.show(`${database}  ${job.id}`, job.redriven + job.gone, job.total)
    if (job.state !== 'running') {
      progress.end()
      return job
    }
    const { nextInMs = lookEveryMs } = await waybill.redrives.step()
    await wait(Math.min(nextInMs, lookEveryMs))
    job = (await waybill.redrives.list({ id: begun.id }))[0] ?? job
  }
}

async function inEach<Job>(
  list: readonly Target[],
  work: (waybill: AnyWaybill, target: Target) => Promise<readonly Job[]>,
): Promise<readonly Named<Job>[]> {
  const results: Named<Job>[] = []
  for (const target of list) {
    const jobs = await withTarget(target, 'check', (waybill) => work(waybill, target))
    results.push(...jobs.map((job) => ({ database: target.name, ...job })))
  }
  return results
}

/** @throws WaybillError `redrive.unknown` where none of the databases has it */
async function whereKnown<Job>(
  options: Shared,
  id: string,
  work: (waybill: AnyWaybill) => Promise<Job>,
): Promise<readonly Named<Job>[]> {
  const list = await targets(options.database)
  const jobs = await inEach(list, async (waybill) => {
    try {
      return [await work(waybill)]
    } catch (error) {
      if (isWaybillError(error, 'redrive.unknown')) return []
      throw error
    }
  })
  if (jobs.length > 0) return jobs
  throw new WaybillError(
    'redrive.unknown',
    `there is no redrive ${id} in ${list.map(({ name }) => name).join(', ')}; those that have ended are dropped after the retention`,
    { id },
  )
}

function describe(job: Named<RedriveJob>): string {
  const { database, id, state, total, redriven, gone, perSecond, order, endedAt } = job
  const rate = perSecond === null ? 'at once' : `${perSecond} per second`
  const ended = endedAt === null ? '' : ` at ${isoOf(endedAt)}`
  return `${isoOf(job.createdAt)}  ${database}  ${id}  ${state}${ended}\n  ${redriven} of ${total} redriven, ${gone} gone; ${rate}, ${order.replace('-', ' ')}; ${job.by}: ${job.because}`
}

function describeWithItems(job: Named<Awaited<ReturnType<AnyWaybill['redrives']['show']>>>): string {
  const items = job.items.map(
    ({ group, id, outcome, at }) =>
      `  ${at === null ? '-' : isoOf(at)}  ${group}  ${id}  ${outcome ?? (job.endedAt === null ? 'its turn has not come' : 'not redriven')}`,
  )
  return [describe(job), ...items].join('\n')
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}
