import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A file system of its own in memory, which is soon full. Only root may mount one. */
export class SmallDisk implements Disposable {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** @param like whose owner may write there: the data folder of the server that is to use it */
  static mount(megabytes: number, like: string): SmallDisk {
    // Not below a folder that only its owner may pass.
    const path = mkdtempSync(join(tmpdir(), 'waybill-small-disk-'))
    const { uid, gid } = statSync(like)
    run('mount', '-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700,uid=${uid},gid=${gid}`, 'tmpfs', path)
    return new SmallDisk(path)
  }

  static whyNot(): string | undefined {
    const path = mkdtempSync(join(tmpdir(), 'waybill-small-disk-'))
    try {
      run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path)
      run('umount', path)
      return undefined
    } catch (error) {
      return String(error)
    } finally {
      rmSync(path, { recursive: true })
    }
  }

  /** Leaves no room, not even for a page. */
  fill(): void {
    const file = openSync(this.#filling, 'w')
    try {
      for (const bytes of [1_048_576, 4_096]) writeUntilFull(file, Buffer.alloc(bytes))
    } finally {
      closeSync(file)
    }
  }

  clear(): void {
    rmSync(this.#filling)
  }

  get #filling(): string {
    return join(this.path, 'filling')
  }

  [Symbol.dispose](): void {
    // Lazily: a server that was just killed may still have files open.
    run('umount', '-l', this.path)
    rmSync(this.path, { recursive: true })
  }
}

function writeUntilFull(file: number, bytes: Buffer): void {
  try {
    for (;;) writeSync(file, bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}

function run(command: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} failed: ${stderr ?? String(error)}`)
}
