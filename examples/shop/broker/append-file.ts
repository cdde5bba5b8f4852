import { type FileHandle, open, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'

interface Waiting {
  readonly lines: string
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * JSON lines that only ever grow. `append` resolves when its lines are on disk (fdatasync), in the order of the
 * calls. Lines that arrive during a sync share the next one, so the cost of a sync is divided by the load.
 */
export class AppendFile<T> {
  readonly #handle: FileHandle
  #waiting: Waiting[] = []
  #flushing: Promise<void> | undefined
  /** After a failed write or sync the kernel may have dropped the pages: a retry that "succeeds" proves nothing. */
  #failure: unknown

  private constructor(handle: FileHandle) {
    this.#handle = handle
  }

  static async open<T>(path: string): Promise<{ file: AppendFile<T>; records: T[] }> {
    const handle = await open(path, 'a')
    await syncFolderOf(path)
    const content = await readFile(path)
    // What follows the last newline was never acknowledged: the process died while it wrote it.
    const wholeBytes = content.lastIndexOf(0x0a) + 1
    if (wholeBytes < content.length) {
      await handle.truncate(wholeBytes)
      await handle.datasync()
    }
    const lines = content.subarray(0, wholeBytes).toString('utf8').split('\n').slice(0, -1)
    return { file: new AppendFile<T>(handle), records: lines.map((line) => JSON.parse(line) as T) }
  }

  append(records: readonly T[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const lines = records.map((record) => `${JSON.stringify(record)}\n`).join('')
    const done = new Promise<void>((resolve, reject) => this.#waiting.push({ lines, resolve, reject }))
    this.#flushing ??= this.#flush()
    return done
  }

  async close(): Promise<void> {
    await this.#flushing
    await this.#handle.close()
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0 && this.#failure === undefined) {
      const batch = this.#waiting
      this.#waiting = []
      try {
        await this.#handle.appendFile(batch.map(({ lines }) => lines).join(''))
        await this.#handle.datasync()
        for (const { resolve } of batch) resolve()
      } catch (error) {
        this.#failure = error
        for (const { reject } of [...batch, ...this.#waiting]) reject(error)
      }
    }
    this.#flushing = undefined
  }
}

/** A new file is only durable when the folder that names it is. */
async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
