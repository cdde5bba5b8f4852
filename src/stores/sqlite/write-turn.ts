import { statSync } from 'node:fs'
import { WaybillError } from '../../core/errors.ts'

interface OpenFile {
  readonly turn: WriteTurn
  readonly library: string
  users: number
}

const openFiles = new Map<string, OpenFile>()

/**
 * The turn of a file, one for all who open it in this thread: a second BEGIN would block the very thread that has to commit the
 * first. `leave` once the file is closed.
 */
export function turnOf(
  path: string,
  library: string,
): { readonly turn: WriteTurn; readonly leave: () => void } {
  const file = fileOf(path)!
  const open = openFiles.get(file) ?? { turn: new WriteTurn(), library, users: 0 }
  open.users++
  openFiles.set(file, open)
  const leave = (): void => {
    if (--open.users === 0) openFiles.delete(file)
  }
  return { turn: open.turn, leave }
}

/**
 * Two SQLite libraries in one process each have their own idea of the file's locks, and closing a file in one drops those of the
 * other: the database is soon damaged. To be asked before the file is opened.
 *
 * @throws WaybillError `store.unsafe-settings`
 */
export function assertOneLibrary(path: string, library: string): void {
  const other = openFiles.get(fileOf(path) ?? '')?.library
  if (other === undefined || other === library) return
  throw new WaybillError(
    'store.unsafe-settings',
    `${path} is open in this process through ${other}; a second SQLite library on the same file would damage it; use one of them for both`,
    { path, open: other, refused: library },
  )
}

function fileOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found && `${found.dev}:${found.ino}`
}

/** Who may write to a file: one at a time, first come first served. */
export class WriteTurn {
  #held = false
  readonly #waiting: (() => void)[] = []
  /** Set while the holder has not begun its transaction and may be asked to step aside. */
  #stepAside: (() => void) | undefined

  /** Waits for the turn. The answer gives it back, once. */
  async take(): Promise<() => void> {
    if (this.#held) await new Promise<void>((granted) => this.#waiting.push(granted))
    else this.#held = true
    return this.#releaseOnce()
  }

  /** Takes the turn now if nobody is in a transaction: a holder that has not begun is put aside, ahead of all who wait. */
  tryTake(): (() => void) | undefined {
    if (this.#held && !this.#stepAside) return undefined
    this.#stepAside?.()
    this.#stepAside = undefined
    this.#held = true
    return this.#releaseOnce()
  }

  /** The holder says that it has not begun yet: `tryTake` may call this, and then the turn is no longer its own. */
  mayStepAside(stepAside: (() => void) | undefined): void {
    this.#stepAside = stepAside
  }

  #releaseOnce(): () => void {
    let released = false
    return () => {
      if (released) return
      released = true
      this.#stepAside = undefined
      const next = this.#waiting.shift()
      if (next) next()
      else this.#held = false
    }
  }
}
