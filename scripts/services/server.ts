/** Makes, starts and stops one server process on one folder, whatever database it is. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, chownSync, closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ServiceError } from './errors.ts'
import { installPackages } from './install.ts'
import { freePort } from './ports.ts'
import { killServerProcess, stopServerProcess } from './processes.ts'
import { type ServerName, makeFolder } from './state.ts'
import { comesTrue } from './wait.ts'

export type Say = (line: string) => void

/** A user of the system, as which a server runs where we are root. */
export interface SystemUser {
  readonly uid: number
  readonly gid: number
}

export interface Programs {
  readonly initialize: string
  readonly server: string
}

/** What a server of one kind needs to run. It stays the same over crashes and restarts. */
export interface Place {
  readonly folder: string
  readonly dataFolder: string
  /** For what the server writes besides its data. */
  readonly runFolder: string
  readonly logFile: string
  readonly port: number
  readonly password: string
  /** Undefined: as we are. */
  readonly runAs: SystemUser | undefined
  readonly programs: Programs
  /** Settings over the durable ones, by the server's own names. */
  readonly settings: Readonly<Record<string, string>>
}

/** What differs from one database to the other. */
export interface ServerKind {
  readonly name: ServerName
  readonly title: string
  /** Names a server of the user's, which is then used instead of one of ours. */
  readonly variable: string
  readonly packages: readonly string[]
  /** In this order: the first that exists. */
  readonly systemUsers: readonly string[]
  readonly stopSignal: NodeJS.Signals
  findPrograms(): Programs | undefined
  initialize(place: Place): Promise<void>
  arguments(place: Place): readonly string[]
  url(place: Place): string
  /** Connects, asks something, and closes. Rejects while the server does not answer. */
  ask(url: string): Promise<void>
}

/** Generous: recovery after a crash on a busy machine is no fault. */
const readyWithinMs = 120_000
const portTriesMax = 5
const logTailChars = 3000
const addressInUse = /address already in use/i
const ownerOnly = 0o700

const runFile = promisify(execFile)

/** Finds the programs, after installing them where that is possible. */
export async function ensureInstalled(kind: ServerKind, say: Say): Promise<Programs> {
  const installed = kind.findPrograms()
  if (installed !== undefined) return installed
  const instead = `set ${kind.variable} to a server of yours, such as one of "docker compose up -d"`
  await installPackages({ title: kind.title, packages: kind.packages, instead }, say)
  const found = kind.findPrograms()
  if (found !== undefined) return found
  throw new ServiceError(
    'services.install-failed',
    `${kind.packages.join(' ')} did not bring the programs of ${kind.title}. Install it, or ${instead}`,
  )
}

/** Lays out the folder; the data is still to be made. */
export async function makePlace(
  kind: ServerKind,
  folder: string,
  programs: Programs,
  given: { readonly password?: string; readonly settings?: Readonly<Record<string, string>> } = {},
): Promise<Place> {
  const runAs = systemUserFor(kind)
  const place: Place = {
    folder: makeFolder(folder),
    dataFolder: join(folder, 'data'),
    runFolder: join(folder, 'run'),
    logFile: join(folder, 'server.log'),
    port: await freePort(),
    password: given.password ?? randomBytes(16).toString('hex'),
    runAs,
    programs,
    settings: given.settings ?? {},
  }
  for (const made of [place.dataFolder, place.runFolder]) {
    mkdirSync(made)
    chmodSync(made, ownerOnly)
    if (runAs !== undefined) chownSync(made, runAs.uid, runAs.gid)
  }
  return place
}

/** As root, servers run as their own user: PostgreSQL refuses root, and a faulty server shall not be able to do everything. */
function systemUserFor(kind: ServerKind): SystemUser | undefined {
  if (userInfo().uid !== 0) return undefined
  for (const name of kind.systemUsers) {
    try {
      const ask = (flag: string): number =>
        Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
      return { uid: ask('-u'), gid: ask('-g') }
    } catch {
      continue
    }
  }
  throw new ServiceError(
    'services.start-failed',
    `none of the users ${kind.systemUsers.join(', ')} exists, and ${kind.title} is not run as root; add one`,
  )
}

/** Runs a program to its end as the server's user. What it said is in the error if it fails. */
export async function runProgram(place: Place, program: string, args: readonly string[]): Promise<void> {
  try {
    await runFile(program, args, { cwd: place.runFolder, env: environment(place), ...place.runAs })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new ServiceError('services.start-failed', `${program} failed:\n${stderr}${stdout}`, {
      cause: error,
    })
  }
}

/** Nothing of ours: variables such as PGPORT, MYSQL_HOME or TMPDIR would change what is started. */
function environment(place: Place): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], LC_ALL: 'C', HOME: place.runFolder, TMPDIR: place.runFolder }
}

/** Starts the server for the first time. Returns where it listens: another port if somebody took the first. */
export async function launchOnFreePort(
  kind: ServerKind,
  first: Place,
  onStarted: (place: Place, pid: number) => void,
): Promise<{ readonly place: Place; readonly pid: number }> {
  for (let attempt = 1, place = first; ; attempt += 1, place = { ...place, port: await freePort() }) {
    try {
      return { place, pid: await launch(kind, place, (pid) => onStarted(place, pid)) }
    } catch (error) {
      if (attempt === portTriesMax || !addressInUse.test(String(error))) throw error
    }
  }
}

/**
 * Starts the server and waits until it answers.
 * @param onStarted hears the pid at once, before it is known whether the server comes up: what is not written down by then
 *   could not be stopped if this process died
 */
export async function launch(
  kind: ServerKind,
  place: Place,
  onStarted: (pid: number) => void,
): Promise<number> {
  const log = openSync(place.logFile, 'a', 0o600)
  const child = spawn(place.programs.server, kind.arguments(place), {
    cwd: place.dataFolder,
    // A process group of its own: Ctrl-C in the terminal is for the command, not for the server.
    detached: true,
    stdio: ['ignore', log, log],
    env: environment(place),
    ...place.runAs,
  })
  closeSync(log)
  await once(child, 'spawn')
  child.unref()
  const pid = child.pid!
  onStarted(pid)
  try {
    await untilReady(kind, place, child)
  } catch (error) {
    await killServerProcess(pid, place.dataFolder)
    throw error
  }
  return pid
}

async function untilReady(kind: ServerKind, place: Place, child: ChildProcess): Promise<void> {
  let lastAnswer: unknown
  const answers = async (): Promise<boolean> => {
    if (child.exitCode !== null || child.signalCode !== null) {
      const how = child.signalCode ?? `exit status ${child.exitCode}`
      throw new ServiceError(
        'services.start-failed',
        `${kind.title} ended with ${how} before it accepted connections. Its log:\n${logTail(place)}`,
      )
    }
    try {
      await kind.ask(kind.url(place))
      return true
    } catch (error) {
      lastAnswer = error
      return false
    }
  }
  if (await comesTrue(answers, readyWithinMs)) return
  throw new ServiceError(
    'services.start-failed',
    `${kind.title} runs but does not answer (${String(lastAnswer)}). Its log:\n${logTail(place)}`,
  )
}

const logTail = (place: Place): string => readFileSync(place.logFile, 'utf8').slice(-logTailChars)

export function stopCleanly(kind: ServerKind, pid: number, dataFolder: string): Promise<void> {
  return stopServerProcess(pid, dataFolder, kind.stopSignal)
}

/** What the server says about itself, in one line. */
export function versionOf(programs: Programs): string {
  return execFileSync(programs.server, ['--version'], { encoding: 'utf8' }).trim()
}
