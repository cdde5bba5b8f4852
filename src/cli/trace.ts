import type { Command } from 'commander'
import {
  type Hop,
  type HopName,
  type Journey,
  type Sight,
  type Trace,
  type Verdict,
  trace,
} from '../index.ts'
import { type Shared, print, shared } from './command.ts'
import { type Language, type Spoken, languageOf, spoken } from './language.ts'
import { withSources } from './sources.ts'
import { targets } from './targets.ts'

/** `waybill trace <key|id>` */
export function traceCommand(program: Command): void {
  spoken(shared(program.command('trace <keyOrId>')))
    .description('where a message is: each link of its journey, where it stopped, why, and what to do')
    .option('--group <name>', 'only this consumer group')
    .action(async (keyOrId: string, options: Shared & Spoken & { readonly group?: string }) => {
      const { group } = options
      const found = await withSources(await targets(options.database), (sources) =>
        trace(sources, keyOrId, group === undefined ? {} : { group }),
      )
      print(options, found, () => describeTrace(found, languageOf(options)))
    })
}

const marks: Readonly<Record<Sight, string>> = { seen: '✓', 'not seen': '✗', 'no data': '?' }

const hopWords: Readonly<Record<HopName, Readonly<Record<Language, string>>>> = {
  published: { en: 'published', zh: '已发布' },
  decided: { en: 'decided', zh: '已决定' },
  due: { en: 'due', zh: '已到期' },
  relayed: { en: 'relayed', zh: '已投递' },
  accepted: { en: 'accepted', zh: '已接收' },
  landed: { en: 'landed', zh: '已落地' },
  handled: { en: 'handled', zh: '已处理' },
}

const words = {
  noData: { en: 'no data', zh: '无数据' },
  more: { en: 'Older messages of this key are not shown.', zh: '此业务键较早的消息未显示。' },
} as const

export function describeTrace(found: Trace, language: Language): string {
  const unread = found.databases.flatMap(({ database, noData }) =>
    noData === null ? [] : [`? ${database}: ${words.noData[language]}: ${noData}`],
  )
  const ofNothing = found.verdicts.filter(({ id }) => id === null)
  return [
    ...found.journeys.map((journey) =>
      describeJourney(
        journey,
        found.verdicts.filter(({ id }) => id === journey.id),
        language,
      ),
    ),
    ...ofNothing.map((one) => describeVerdict(one, language).join('\n')),
    ...(found.more ? [words.more[language]] : []),
    ...(unread.length === 0 ? [] : [unread.join('\n')]),
  ].join('\n\n')
}

function describeJourney(journey: Journey, verdicts: readonly Verdict[], language: Language): string {
  return [
    `${journey.key ?? '-'}  ${journey.topic}  ${journey.id}`,
    ...journey.hops.map((hop) => `  ${describeHop(hop, language)}`),
    ...verdicts.flatMap((one) => describeVerdict(one, language).map((line) => `  ${line}`)),
  ].join('\n')
}

function describeHop({ hop, sight, database, group, at, evidence }: Hop, language: Language): string {
  const parts = [
    `${marks[sight]} ${hopWords[hop][language]}`,
    group,
    database,
    at === null ? null : new Date(at).toISOString(),
    evidence,
  ]
  return parts.filter((part) => part !== null).join('  ')
}

function describeVerdict({ code, sentence, next }: Verdict, language: Language): readonly string[] {
  return [`→ ${sentence[language]} [${code}]`, `  ${next[language]}`]
}
