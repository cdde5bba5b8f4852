/**
 * Looks at processes and ends them, by pid. A pid alone proves nothing, since the system gives it to another process later:
 * a process is ours only if its command line names our data folder.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { ServiceError } from './errors.ts'
import { comesTrue } from './wait.ts'

const hasProc = existsSync('/proc/self/cmdline')
/** Generous: a server that writes back its memory to a busy disk is no fault. */
const cleanStopWithinMs = 60_000
const killedWithinMs = 20_000
const waitedForWithinMs = 2_000

/** Whether that process lives and was started on this data folder. */
export function isServerOf(pid: number, dataFolder: string): boolean {
  return commandLine(pid).includes(dataFolder)
}

/** A dead process that nobody has waited for is not alive, although signals still reach it. */
export function isAlive(pid: number): boolean {
  return commandLine(pid) !== ''
}

/** Asks a server to stop, waits until it has, and kills it if it does not. Does nothing to a process that is not ours. */
export async function stopServerProcess(
  pid: number,
  dataFolder: string,
  signal: NodeJS.Signals,
): Promise<void> {
  if (!isServerOf(pid, dataFolder)) return
  send(pid, signal)
  const stopped = await comesTrue(() => !isServerOf(pid, dataFolder), cleanStopWithinMs)
  if (!stopped) await killServerProcess(pid, dataFolder)
}

/**
 * kill -9 of the server and of every process that it forked, as a machine that loses power does. Its children may otherwise
 * outlive it by the statement that they are in, and a restart on the same data has to wait for them.
 */
export async function killServerProcess(pid: number, dataFolder: string): Promise<void> {
  if (!isServerOf(pid, dataFolder)) return
  // Stopped first, so that it forks nobody while its children are listed. It may be in the middle of a fork.
  send(pid, 'SIGSTOP')
  await comesTrue(() => standsStill(pid), killedWithinMs)
  const children = childrenOf(pid)
  for (const one of [pid, ...children]) send(one, 'SIGKILL')
  const isGone = (): boolean => !isServerOf(pid, dataFolder) && !children.some(isAlive)
  if (await comesTrue(isGone, killedWithinMs)) {
    // PostgreSQL takes a predecessor that nobody has waited for to be alive, and ends. Where nobody ever does, so be it.
    await comesTrue(() => stateOf(pid) === undefined, waitedForWithinMs)
    return
  }
  throw new ServiceError('services.stop-failed', `process ${pid} outlives kill -9; look at it with ps`)
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // It has ended by itself in between.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Empty where there is no such process, or only what is left of a dead one. */
function commandLine(pid: number): string {
  if (!hasProc) {
    const { stdout } = spawnSync('ps', ['-ww', '-o', 'command=', '-p', `${pid}`], { encoding: 'utf8' })
    return stdout.includes('<defunct>') ? '' : stdout.trim()
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

function standsStill(pid: number): boolean {
  const state = stateOf(pid)
  return state === undefined || /^[TZ]/.test(state)
}

/** As `ps` says it: T for one that is stopped, Z for a dead one that nobody has waited for. Undefined where there is none. */
function stateOf(pid: number): string | undefined {
  if (!hasProc)
    return spawnSync('ps', ['-o', 'state=', '-p', `${pid}`], { encoding: 'utf8' }).stdout.trim() || undefined
  try {
    return fieldsAfterName(readFileSync(`/proc/${pid}/stat`, 'utf8'))[0]
  } catch {
    return undefined
  }
}

/** The name, in brackets, may contain anything; the fields after it are the state and the parent. */
function fieldsAfterName(stat: string): readonly string[] {
  return stat.replace(/^.*\) /s, '').split(' ')
}

function childrenOf(parent: number): readonly number[] {
  return parentsByPid()
    .filter(([, parentPid]) => parentPid === parent)
    .map(([pid]) => pid)
}

function parentsByPid(): readonly (readonly [pid: number, parentPid: number])[] {
  if (!hasProc) {
    const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    return stdout
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number) as [number, number])
  }
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry): [number, number][] => {
      try {
        return [[Number(entry), Number(fieldsAfterName(readFileSync(`/proc/${entry}/stat`, 'utf8'))[1])]]
      } catch {
        return []
      }
    })
}
