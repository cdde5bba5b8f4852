import { existsSync, readdirSync, readlinkSync, renameSync } from 'node:fs'
import { resolve, sep } from 'node:path'

/**
 * "The database is down": moves its folder away. Answers how to put it back. Opening a database in it fails meanwhile.
 * @throws Error if a process has a file in it open: that one would go on with what it has, and nothing would be down
 */
export function takeAway(folder: string): () => void {
  const user = processesWithFilesIn(folder)[0]
  if (user !== undefined) throw new Error(`process ${user} has files in ${folder} open; stop it first`)
  const away = `${folder}.away`
  renameSync(folder, away)
  return () => {
    if (existsSync(folder)) throw new Error(`somebody made ${folder} anew while it was away`)
    renameSync(away, folder)
  }
}

/** Other processes than this one. Only Linux says so; elsewhere nobody is found. */
function processesWithFilesIn(folder: string): readonly string[] {
  if (!existsSync('/proc/self/fd')) return []
  const inside = resolve(folder) + sep
  const others = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
  return others.filter((pid) => openFilesOf(pid).some((file) => file.startsWith(inside)))
}

/** None for a process that ends while it is looked at, or belongs to somebody else. */
function openFilesOf(pid: string): readonly string[] {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).flatMap((fd) => {
      try {
        return [readlinkSync(`${folder}/${fd}`)]
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}
