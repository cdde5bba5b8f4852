import { openUrl } from '../databases/open.ts'
import { type BookSource, type FactSource, Waybill, isWaybillError } from '../index.ts'
import type { AnyWaybill, Target } from './targets.ts'

export type Source = FactSource & BookSource
export type Sources = readonly (readonly [name: string, source: Source])[]

/**
 * Opens all of them, runs `work` and closes them. One that cannot be opened answers every question with the reason, so that the others
 * are asked all the same.
 * @throws WaybillError `config.invalid` for what is no database at all
 */
export async function withSources<R>(
  list: readonly Target[],
  work: (sources: Sources) => Promise<R>,
): Promise<R> {
  const opened: AnyWaybill[] = []
  try {
    const sources = list.map(({ name, url }) => [name, open(url, opened)] as const)
    return await work(sources)
  } finally {
    for (const waybill of opened) await waybill.stop()
  }
}

function open(url: string, opened: AnyWaybill[]): Source {
  const database = openUrl(url)
  try {
    const waybill = new Waybill({ service: 'waybill-cli', database, migrate: 'check' })
    opened.push(waybill)
    return waybill
  } catch (error) {
    if (isWaybillError(error, 'config.invalid')) throw error
    const refuse = (): Promise<never> => Promise.reject(error as Error)
    return { facts: refuse, books: refuse }
  }
}
