/** What it is written to: a terminal, or a file or pipe that keeps every line. */
export interface ProgressOutput {
  readonly isTTY?: boolean
  write(text: string): unknown
}

/** One line that says how far something has come. In a file, a line for each tenth. */
export class Progress {
  readonly #output: ProgressOutput
  #shown = -1

  constructor(output: ProgressOutput) {
    this.#output = output
  }

  show(what: string, done: number, total: number): void {
    const line = `${what}  ${done} of ${total}`
    if (this.#output.isTTY) this.#output.write(`\r${line}`)
    else {
      const tenth = total === 0 ? 10 : Math.floor((10 * done) / total)
      if (tenth > this.#shown) this.#output.write(`${line}\n`)
      this.#shown = tenth
    }
  }

  end(): void {
    if (this.#output.isTTY) this.#output.write('\n')
  }
}
