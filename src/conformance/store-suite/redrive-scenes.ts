import type { MessageId } from '../../core/ids.ts'
import type { NewRedrive, RedriveJob } from '../../core/redrive.ts'
import type { Lease, Store } from '../../core/store.ts'
import type { Draft, GroupOptions, StoreBench } from '../store-bench.ts'

export const note = { by: 'ann', because: 'the bank is back' }

/** Messages that died, with the cursor past them. */
export async function died(
  t: StoreBench,
  drafts: number | readonly Draft[],
  options: Draft | GroupOptions = {},
): Promise<{ lease: Lease; ids: MessageId[] }> {
  const isCounted = typeof drafts === 'number'
  const lease = await t.groupWithLease('coupon', isCounted ? {} : (options as GroupOptions))
  const ids = isCounted ? await t.publishMany(drafts, options as Draft) : await t.publish(...drafts)
  await t.buryAll(lease)
  return { lease, ids }
}

export function newRedrive(given: Partial<NewRedrive> & { readonly id: string }): NewRedrive {
  return {
    selection: {},
    generationsMax: Infinity,
    perSecond: null,
    order: 'oldest-first',
    note,
    ...given,
  }
}

export async function start(
  t: StoreBench,
  given: Partial<NewRedrive> & { readonly id: string },
): Promise<RedriveJob> {
  return (await t.store.redrives.create(newRedrive(given))).job
}

/** Steps at once and again until nothing is running, in turns where there are several stores. */
export async function stepAll(
  t: StoreBench,
  ...stores: readonly Store<unknown>[]
): Promise<{ readonly redriven: number }> {
  let redriven = 0
  for (let turn = 0; ; turn++) {
    const { redrives: jobs } = stores[turn % stores.length] ?? t.store
    const step = await jobs.step()
    redriven += step.redriven
    if (step.nextInMs === undefined) return { redriven }
  }
}

export async function itemsOf(t: StoreBench, job: string): Promise<MessageId[]> {
  return ((await t.store.redrives.show(job))?.items ?? []).map(({ id }) => id)
}

export async function generations(t: StoreBench, lease: Lease): Promise<number[]> {
  for (const message of await t.store.due(lease, t.now, 10)) await t.bury(lease, message)
  return (await t.store.deadLetters({})).map(({ generation }) => generation)
}
