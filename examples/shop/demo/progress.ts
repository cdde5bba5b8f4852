import cliProgress from 'cli-progress'
import type { SideName } from './sides.ts'

export interface ProgressFigures {
  readonly answered: number
  readonly effects: number
  readonly landed: number
}

export interface Progress {
  update(figures: ProgressFigures): void
  stop(): void
}

export interface ProgressTotals {
  readonly orders: number
  readonly effects: number
  readonly kills: number
}

const lineEveryMs = 2000

/** A bar on a terminal; elsewhere, such as in a CI log, a line every two seconds. */
export function showProgress(name: SideName, totals: ProgressTotals): Progress {
  return process.stdout.isTTY ? bar(name, totals) : lines(name, totals)
}

function bar(name: SideName, { orders, effects, kills }: ProgressTotals): Progress {
  const figures = `payments {answered}/${orders} · effects {effects}/${effects} · kills {landed}/${kills} · {duration_formatted}`
  const shown = new cliProgress.SingleBar(
    { format: `${name.padEnd(8)} {bar} ${figures}`, hideCursor: true },
    cliProgress.Presets.shades_classic,
  )
  shown.start(effects, 0, { answered: 0, effects: 0, landed: 0 })
  return {
    // Duplicates and phantoms are effects too, so there may be more of them than there should be.
    update: (now) => shown.update(Math.min(now.effects, effects), { ...now }),
    stop: () => shown.stop(),
  }
}

function lines(name: SideName, { orders, effects, kills }: ProgressTotals): Progress {
  const startedAtMs = Date.now()
  let shownAtMs = startedAtMs
  return {
    update(now) {
      if (Date.now() - shownAtMs < lineEveryMs) return
      shownAtMs = Date.now()
      const seconds = ((shownAtMs - startedAtMs) / 1000).toFixed(0).padStart(3)
      console.log(
        `${name.padEnd(8)} ${seconds} s · payments ${now.answered}/${orders} · effects ${now.effects}/${effects} · kills ${now.landed}/${kills}`,
      )
    },
    stop: () => undefined,
  }
}
