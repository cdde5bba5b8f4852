import { type Command, InvalidArgumentError } from 'commander'
import { type Delivery, type Duration, type Ledger, type LedgerLine, ledger } from '../index.ts'
import { type Shared, print, shared } from './command.ts'
import { type Language, type Spoken, languageOf, spoken } from './language.ts'
import { withSources } from './sources.ts'
import { targets } from './targets.ts'
import { wait } from './wait.ts'

interface LedgerFlags extends Shared, Spoken {
  readonly overdueAfter?: Duration
  readonly limit?: number
}

/** How many offenders a line of text names; JSON has all that were asked for. */
const namedMax = 10

/** `waybill ledger`: exit status 1 where the books do not balance, something is missing or a database could not be read. */
export function ledgerCommand(program: Command): void {
  spoken(shared(program.command('ledger')))
    .description('balance the books: every accepted message is in one state, and what was sent has landed')
    .option('--overdue-after <duration>', 'when what was sent and has not landed is missing', '1m')
    .option('--limit <count>', 'how many offenders each line names', wholeNumber, 1_000)
    .action(async (options: LedgerFlags) => {
      const { overdueAfter, limit } = options
      const found = await withSources(await targets(options.database), (sources) =>
        ledger(sources, {
          ...(overdueAfter === undefined ? {} : { overdueAfter }),
          ...(limit === undefined ? {} : { limit }),
          breathe: () => wait(0),
        }),
      )
      print(options, found, () => describeLedger(found, languageOf(options)))
      if (!found.balanced) process.exitCode = 1
    })
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('give a whole number from 0')
  return value
}

type Words = Readonly<Record<Language, string>>

const words = {
  noData: { en: 'no data', zh: '无数据' },
  accepted: { en: 'accepted', zh: '已接收' },
  outside: { en: 'not in the log', zh: '不在消息日志中' },
  unaccounted: { en: 'UNACCOUNTED', zh: '去向不明' },
  bodiesLost: { en: 'BODIES LOST', zh: '消息体丢失' },
  sent: { en: 'sent', zh: '已投递' },
  landed: { en: 'landed', zh: '已落地' },
  inTransit: { en: 'in transit', zh: '在途' },
  notOwed: { en: 'before the groups began', zh: '早于消费组起点' },
  beyond: { en: 'older than what is kept', zh: '早于保留期' },
  missing: { en: 'MISSING', zh: '缺失' },
  more: { en: 'and {n} more', zh: '另有 {n} 条' },
  balanced: { en: 'The books balance.', zh: '账目平衡。' },
  open: { en: 'The books do not balance.', zh: '账目不平。' },
} as const satisfies Readonly<Record<string, Words>>

export function describeLedger(found: Ledger, language: Language): string {
  const unread = found.databases.flatMap(({ database, noData }) =>
    noData === null ? [] : [`? ${database}: ${words.noData[language]}: ${noData}`],
  )
  const rows = [
    ...found.lines.map((line) => describeLine(line, language)),
    ...found.deliveries.map((delivery) => describeDelivery(delivery, language)),
  ]
  const verdict = found.balanced ? words.balanced : words.open
  return [...aligned(rows), ...unread, verdict[language]].join('\n')
}

/** The cells of a row, then lines of their own below it. */
interface Row {
  readonly cells: readonly string[]
  readonly below: readonly string[]
}

function describeLine(line: LedgerLine, language: Language): Row {
  const wrong = line.unaccounted + line.bodiesLost
  const states = Object.entries(line.states).map(([state, count]) => `${state} ${count}`)
  const counts = [
    ...states,
    line.unaccounted > 0 ? `${words.unaccounted[language]} ${line.unaccounted}` : '',
    line.bodiesLost > 0 ? `${words.bodiesLost[language]} ${line.bodiesLost}` : '',
  ]
  return {
    cells: [
      wrong === 0 ? '✓' : '✗',
      line.database,
      line.topic,
      line.group ?? words.outside[language],
      `${words.accepted[language]} ${line.accepted}`,
      counts.filter((count) => count !== '').join(', ') || '-',
    ],
    below: offenders(line.offenders, wrong, language),
  }
}

function describeDelivery(delivery: Delivery, language: Language): Row {
  const { missing, failed } = delivery
  const counts = [
    [words.landed, delivery.landed],
    [words.inTransit, delivery.inTransit],
    [words.notOwed, delivery.notOwed],
    [words.beyond, delivery.noData],
    [words.missing, missing],
  ] as const
  return {
    cells: [
      failed !== null ? '?' : missing === 0 ? '✓' : '✗',
      `${delivery.from} → ${delivery.to}`,
      delivery.topic,
      delivery.groups.join(', '),
      `${words.sent[language]} ${delivery.sent}`,
      counts
        .filter(([word, count]) => count > 0 || word === words.landed)
        .map(([word, count]) => `${word[language]} ${count}`)
        .join(', '),
    ],
    below: [...(failed === null ? [] : [failed]), ...offenders(delivery.offenders, missing, language)],
  }
}

function offenders(
  list: readonly { readonly id: string; readonly key: string | null }[],
  total: number,
  language: Language,
): readonly string[] {
  const named = list.slice(0, namedMax).map(({ id, key }) => `${key ?? '-'}  ${id}`)
  const rest = total - named.length
  return rest > 0 ? [...named, words.more[language].replace('{n}', String(rest))] : named
}

function aligned(rows: readonly Row[]): readonly string[] {
  const widths = (rows[0]?.cells ?? []).map((_, i) =>
    Math.max(...rows.map(({ cells }) => widthOf(cells[i]!))),
  )
  return rows.flatMap(({ cells, below }) => [
    cells
      .map((cell, i) => cell + ' '.repeat(widths[i]! - widthOf(cell)))
      .join('  ')
      .trimEnd(),
    ...below.map((line) => `     ${line}`),
  ])
}

/** Chinese characters take two columns of a terminal. */
function widthOf(text: string): number {
  return [...text].reduce((width, character) => width + (/[\u2e80-\uffef]/.test(character) ? 2 : 1), 0)
}
