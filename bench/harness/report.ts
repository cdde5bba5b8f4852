import type { Figure, Findings, Goal, Unit } from './bench.ts'
import { type Summary, summarize } from './statistics.ts'

export type Verdict = 'met' | 'missed' | 'inconclusive'

export interface Measured {
  readonly bench: string
  readonly measure: string
  readonly title: string
  readonly findings: Findings
}

export interface JsonFigure extends Summary {
  readonly label: string
  readonly unit: Unit
  readonly values: readonly number[]
}

export interface JsonGoal {
  readonly figure: string
  readonly goal: Goal
  readonly value: number
  readonly verdict: Verdict
  readonly because?: string
}

/** The verdict is on the median. */
export function judge(figure: Figure, goal: Goal): Verdict {
  if (figure.inconclusive !== undefined) return 'inconclusive'
  const { median } = summarize(figure.values)
  return ('atMost' in goal ? median <= goal.atMost : median >= goal.atLeast) ? 'met' : 'missed'
}

/** Every figure as `<bench>.<measure>.<figure>`, every goal with its verdict, and the ratios that have a name of their own. */
export function toJson(all: readonly Measured[]): {
  figures: Record<string, JsonFigure>
  goals: JsonGoal[]
  ratios: Record<string, number>
} {
  const figures: Record<string, JsonFigure> = {}
  const goals: JsonGoal[] = []
  const ratios: Record<string, number> = {}
  for (const { bench, measure, findings } of all) {
    for (const figure of findings.figures) {
      const name = `${bench}.${measure}.${figure.name}`
      const summary = summarize(figure.values)
      figures[name] = { label: figure.label, unit: figure.unit, ...summary, values: figure.values }
      if (figure.ratio !== undefined) ratios[figure.ratio] = summary.median
      if (figure.goal === undefined) continue
      goals.push({
        figure: name,
        goal: figure.goal,
        value: summary.median,
        verdict: judge(figure, figure.goal),
        ...(figure.inconclusive === undefined ? {} : { because: figure.inconclusive }),
      })
    }
  }
  return { figures, goals, ratios }
}

/** One measure as lines of text: what was done, then a row per figure. */
export function toLines({ title, findings }: Measured): string[] {
  const rows = findings.figures.map((figure) => [
    figure.label,
    figure.unit === 'ratio' ? '' : figure.unit,
    rangeOf(figure),
    `n=${figure.values.length}`,
    figure.goal ? `goal ${describeGoal(figure.goal, figure.unit)}` : '',
    figure.goal ? describeVerdict(figure, figure.goal) : '',
  ])
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return [
    '',
    title,
    ...wrapped(findings.how).map((line) => `  ${line}`),
    ...rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd()),
  ]
}

function describeVerdict(figure: Figure, goal: Goal): string {
  const verdict = judge(figure, goal)
  if (verdict === 'inconclusive') return `INCONCLUSIVE: ${figure.inconclusive}`
  return verdict === 'met' ? 'met' : 'MISSED'
}

function describeGoal(goal: Goal, unit: Unit): string {
  return 'atMost' in goal ? `≤ ${show(goal.atMost, unit)}` : `≥ ${show(goal.atLeast, unit)}`
}

function rangeOf({ values, unit }: Figure): string {
  const { median, min, max } = summarize(values)
  return `${show(median, unit)} (${show(min, unit)}–${show(max, unit)})`
}

const decimals: Readonly<Record<Unit, number>> = {
  'tx/s': 0,
  'msg/s': 0,
  ratio: 2,
  ms: 2,
  µs: 0,
  MiB: 1,
  'B/msg': 0,
}

function show(value: number, unit: Unit): string {
  return value.toLocaleString('en-US', {
    minimumFractionDigits: decimals[unit],
    maximumFractionDigits: decimals[unit],
  })
}

const textWidth = 116

function wrapped(text: string): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!
    if (line === '') lines[lines.length - 1] = word
    else if (line.length + 1 + word.length <= textWidth) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines
}
