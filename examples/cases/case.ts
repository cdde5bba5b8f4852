/**
 * What all cases share: their shape, what they are judged by, and how they are shown. A case is a folder `N-name` whose `index.ts`
 * exports `run`.
 *
 *   export async function run(context: CaseContext): Promise<CaseResult> {
 *     context.headings()
 *     …
 *     context.scenario({ en: 'network cut on send', zh: '发送时断网' }, naive.total, waybill.total)
 *     await context.showTrace({ order: file, 'red-packet': file }, 'order-3')
 *     return { case: 1, naive: naive.total, waybill: waybill.total, expected: { once: 12 } }
 *   }
 */

import { classes } from '../shop/ledger.ts'
import { describeTrace } from './trace.ts'

/** What became of the orders, each in one class; `detected`: how many of the lost ones the ledger names (case 1 only). */
export interface Books {
  readonly once: number
  readonly lost: number
  readonly duplicate: number
  readonly phantom: number
  readonly stuck: number
  readonly dead: number
  readonly detected?: number
}

export interface CaseResult {
  readonly case: number
  readonly naive: Books
  readonly waybill: Books
  /** What Waybill's books must say. `lost` is what only a deleted broker held, and each of them must be detected (case 1 only). */
  readonly expected: { readonly once: number; readonly lost?: number }
}

export interface Words {
  readonly en: string
  readonly zh: string
}

export interface CaseContext {
  /** Prints a line. */
  say(line: string): void
  /** Prints what stands over the scenarios' columns. */
  headings(): void
  /** Prints what one scenario did to its orders on both sides, such as `3 lost` and `3 once`. */
  scenario(name: Words, naive: Books, waybill: Books): void
  /** Prints where one order's message is, as `waybill trace` does. @param databases files by their names; their services may run */
  showTrace(databases: Readonly<Record<string, string>>, key: string): Promise<void>
}

export interface CaseModule {
  run(context: CaseContext): Promise<CaseResult>
}

export const titles: Readonly<Record<number, Words>> = {
  1: { en: 'the lost red packet', zh: '丢失的红包' },
  2: { en: 'zero loss with half messages', zh: '用半消息做到零丢失' },
  3: { en: 'logistics is down', zh: '物流系统不可用' },
  4: { en: 'the coupon issued twice', zh: '重复发放的优惠券' },
  5: { en: 'the order that is not there', zh: '查不到的订单' },
}

/** What is wrong, one sentence each; nothing if Waybill's side is as promised and the naive side shows why it is needed. */
export function judge({ naive, waybill, expected }: CaseResult): readonly string[] {
  const { once, lost = 0 } = expected
  const problems: string[] = []
  if (waybill.once !== once) problems.push(`Waybill: ${waybill.once} once, and not ${once}`)
  if (waybill.lost !== lost) problems.push(`Waybill: ${waybill.lost} lost, and not ${lost}`)
  const detected = waybill.detected ?? 0
  if (detected !== waybill.lost)
    problems.push(`Waybill: the ledger names ${detected} of ${waybill.lost} lost messages`)
  for (const name of ['duplicate', 'phantom', 'stuck', 'dead'] as const)
    if (waybill[name] !== 0) problems.push(`Waybill: ${waybill[name]} ${name}`)
  if (classes.every((name) => name === 'once' || naive[name] === 0))
    problems.push('naive: nothing went wrong there, so the faults prove nothing')
  return problems
}

const nameColumns = 34
const sideColumns = 26

export function printingContext(say: (line: string) => void): CaseContext {
  const line = (name: string, naive: string, waybill: string, last: string): void =>
    say(name.padEnd(nameColumns) + naive.padEnd(sideColumns) + waybill.padEnd(sideColumns) + last)
  return {
    say,
    headings: () => line('', 'naive', 'with Waybill', ''),
    scenario: ({ en, zh }, naive, waybill) => line(en, describeBooks(naive), describeBooks(waybill), zh),
    async showTrace(databases, key) {
      for (const traced of await describeTrace(databases, key)) say(traced)
    },
  }
}

/** Without the zeros: `2 once, 1 lost`. */
export function describeBooks(books: Books): string {
  const counts = Object.entries(books).filter(([, count]) => count !== 0)
  return counts.map(([name, count]) => `${count} ${name}`).join(', ') || 'nothing'
}

/** Both sides in full, side by side. */
export function describeResult({ naive, waybill }: CaseResult): readonly string[] {
  const names = [...classes, ...('detected' in waybill ? ['detected' as const] : [])]
  const width = 11
  const row = (side: string, cells: readonly (string | number)[]): string =>
    side.padEnd(14) + cells.map((cell) => String(cell).padStart(width)).join('')
  return [
    row('', names),
    row(
      'naive',
      names.map((name) => naive[name] ?? 0),
    ),
    row(
      'with Waybill',
      names.map((name) => waybill[name] ?? 0),
    ),
  ]
}

/** The object of `--json`: its keys and their order are a contract. */
export function toJson(result: CaseResult): object {
  return { case: result.case, naive: inOrder(result.naive), waybill: inOrder(result.waybill) }
}

function inOrder(books: Books): Books {
  const { once, lost, duplicate, phantom, stuck, dead, detected } = books
  return { once, lost, duplicate, phantom, stuck, dead, ...(detected === undefined ? {} : { detected }) }
}
