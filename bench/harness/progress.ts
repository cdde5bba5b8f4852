import cliProgress from 'cli-progress'

/** What goes on, on standard error, so that standard output holds only the result. */
export interface Progress {
  /** Begins something of so many steps, and ends what was under way. */
  begin(what: string, steps: number): void
  step(): void
  end(): void
}

/** A bar on a terminal; elsewhere, such as in a CI log, one line for everything that begins. */
export function showProgress(): Progress {
  return process.stderr.isTTY ? bar() : lines()
}

function bar(): Progress {
  let shown: cliProgress.SingleBar | undefined
  const end = (): void => {
    shown?.stop()
    shown = undefined
  }
  return {
    begin(what, steps) {
      end()
      shown = new cliProgress.SingleBar(
        {
          format: `${what.padEnd(44)} {bar} {value}/{total} · {duration_formatted}`,
          stream: process.stderr,
          barsize: 30,
          hideCursor: true,
          clearOnComplete: true,
        },
        cliProgress.Presets.shades_classic,
      )
      shown.start(steps, 0)
    },
    step: () => void shown?.increment(),
    end,
  }
}

function lines(): Progress {
  return {
    begin: (what) => void process.stderr.write(`${what} …\n`),
    step: () => {},
    end: () => {},
  }
}
