import { type Class, classes, type Ledger, type Tally } from '../ledger.ts'
import type { ShopDatabases } from './databases.ts'
import type { SideResult } from './run-side.ts'
import { countBy, type Verdict } from './verdict.ts'

const chinese: Readonly<Record<Class, string>> = {
  once: '一次',
  lost: '丢失',
  duplicate: '重复',
  phantom: '幻影',
  stuck: '滞留',
  dead: '死信',
}
const titles = { naive: 'Naive 常见写法', waybill: 'With Waybill 使用 Waybill' }
const examplesMax = 3

export function describeDatabases(
  { title, place }: Pick<ShopDatabases, 'title' | 'place'>,
  hasNaive: boolean,
): string {
  const waybill = `Waybill on ${title}, ${place}`
  if (!hasNaive || title === 'SQLite') return waybill
  return `${waybill} · naive on SQLite: what goes wrong there is in its protocol, whatever the database`
}

/** One side's ledger, as lines of text. */
export function describeSide(side: SideResult): string[] {
  const { latencyMs, victims } = side
  const killed = Object.entries(countBy(victims)).map(([name, count]) => `${name} ${count}`)
  return [
    '',
    `── ${titles[side.name]} ──`,
    ...table(side.ledger),
    ...examples(side.ledger),
    `committed orders 已提交订单 ${side.committed} · repeated callbacks 重复回调 ${side.repeatedCallbacks}`,
    `kills landed in flight 命中的强杀 ${victims.length}${killed.length > 0 ? ` (${killed.join(', ')})` : ''}`,
    `throughput 吞吐 ${side.effectsPerSecond} effects/s · publish → effect 延迟 p50 ${latencyMs.p50} ms, p99 ${latencyMs.p99} ms · ${side.seconds.toFixed(1)} s`,
  ]
}

export function describeVerdict(
  { passed, problems }: Verdict,
  waybill: SideResult,
  hasNaive: boolean,
): string[] {
  if (!passed) return ['', 'FAILED 未通过', ...problems.map((problem) => `  ${problem}`)]
  const { once } = waybill.ledger.total
  return [
    '',
    `PASSED 通过: with Waybill all ${once} effects happened exactly once${hasNaive ? '; the naive side lost, doubled and made up some' : ''}.`,
  ]
}

function table({ perGroup, total }: Ledger): string[] {
  const header = ['group 消费组', ...classes.map((name) => `${name} ${chinese[name]}`)]
  const cells = (name: string, tally: Tally): string[] => [
    name,
    ...classes.map((known) => String(tally[known])),
  ]
  const rows = [...[...perGroup].map(([group, tally]) => cells(group, tally)), cells('total 合计', total)]
  const widths = header.map((title, column) => {
    return Math.max(...[header, ...rows].map((row) => displayWidth(row[column] ?? '')), displayWidth(title))
  })
  const line = (row: readonly string[]): string => {
    return row
      .map((cell, column) => pad(cell, widths[column] ?? 0, column === 0 ? 'left' : 'right'))
      .join('  ')
  }
  const rule = widths.map((width) => '─'.repeat(width)).join('  ')
  return [line(header), rule, ...rows.slice(0, -1).map(line), rule, line(rows.at(-1) ?? [])]
}

/** A few offenders by name, so that a figure can be followed into the databases (`--keep`). */
function examples({ offenders }: Ledger): string[] {
  return classes.flatMap((name) => {
    const found = offenders.filter((offender) => offender.class === name).slice(0, examplesMax)
    if (found.length === 0) return []
    return [
      `  ${name} ${chinese[name]}: ${found.map(({ orderId, group }) => `${orderId} in ${group}`).join(', ')}, …`,
    ]
  })
}

function pad(text: string, width: number, side: 'left' | 'right'): string {
  const blanks = ' '.repeat(Math.max(0, width - displayWidth(text)))
  return side === 'left' ? text + blanks : blanks + text
}

/** Chinese characters take two columns of a terminal. */
function displayWidth(text: string): number {
  return [...text].reduce((width, character) => width + (/\p{Script=Han}/u.test(character) ? 2 : 1), 0)
}
