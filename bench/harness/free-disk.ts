import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { UsageError } from './usage-error.ts'

/** @throws UsageError if the disk of this file has less room than that */
export function assertFreeDisk(path: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(dirname(path))
  if (bavail * bsize < bytes)
    throw new UsageError(
      `this needs ${Math.ceil(bytes / 2 ** 30)} GiB of free disk space; name another folder with --folder`,
    )
}
