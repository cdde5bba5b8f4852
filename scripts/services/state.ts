/**
 * What is known about the servers that were started: one folder for each, with its data, its log and a state file, under one
 * folder of this user in the system's folder for temporary files.
 */
import { chmodSync, lstatSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ServiceError } from './errors.ts'
import { comesTrue } from './wait.ts'

/** Whether MySQL itself stands in for MariaDB. */
export const isOnMysql = process.env['WAYBILL_TEST_ON_MYSQL'] === '1'

export const serviceNames = ['postgres', 'mariadb'] as const
export type ServiceName = (typeof serviceNames)[number]
/** What a test may have for itself besides: it needs another server, and so is nothing to share. */
export type ServerName = ServiceName | 'pgbouncer'

export interface ServerState {
  readonly name: ServerName
  /** What the server says about itself. */
  readonly version: string
  readonly pid: number
  readonly port: number
  /** With the password: the file is readable by its owner only. */
  readonly url: string
  readonly folder: string
  readonly dataFolder: string
  readonly logFile: string
  /** False until it has accepted a connection. Whoever started it may have died before. */
  readonly ready: boolean
  /** Who needs it: `kept` until somebody stops it by hand, or the pid of a test run. */
  readonly users: readonly string[]
}

export const keptUser = 'kept'

/** An installation of packages may go on before the lock is free. */
const lockWithinMs = 15 * 60_000
const sqliteBusy = 5

/** Passes for everybody, so that a server which runs as its own user reaches its data; nobody else can list or write. */
const passable = 0o711
const privateFile = 0o600
const writableByOthers = 0o022

/**
 * The folder of all servers of this user.
 * @throws ServiceError if it is not this user's alone: its name can be guessed, so somebody could have made it before
 */
export function servicesFolder(): string {
  const { uid } = userInfo()
  const folder = join(tmpdir(), `waybill-services-${uid}${isOnMysql ? '-mysql' : ''}`)
  mkdirSync(folder, { recursive: true, mode: passable })
  const { uid: owner, mode } = lstatSync(folder)
  if (!lstatSync(folder).isDirectory() || owner !== uid || (mode & writableByOthers) !== 0) {
    throw new ServiceError(
      'services.folder-unsafe',
      `${folder} is not a folder that only this user may write; remove it`,
    )
  }
  chmodSync(folder, passable)
  return folder
}

export function makeFolder(folder: string): string {
  mkdirSync(folder, { recursive: true, mode: passable })
  chmodSync(folder, passable)
  return folder
}

export function readState(folder: string): ServerState | undefined {
  try {
    return JSON.parse(readFileSync(stateFile(folder), 'utf8')) as ServerState
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

export function writeState(state: ServerState): ServerState {
  const file = stateFile(state.folder)
  // Renamed into place: a reader without the lock sees the old state or the new one, never half of it.
  writeFileSync(`${file}.new`, `${JSON.stringify(state, undefined, 2)}\n`, { mode: privateFile })
  renameSync(`${file}.new`, file)
  return state
}

/** Not at one go: a server has a thousand files, and a test that removes one would stand still for a second. */
export function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 5 })
}

const stateFile = (folder: string): string => join(folder, 'state.json')

/**
 * Runs `work` while no other process runs work under the same name. The lock is one of SQLite's: the kernel lets go of it when
 * its process dies, however it dies, so there are no stale locks to guess about. The empty file stays: removing it would let
 * two processes hold "the" lock, one on the removed file and one on its successor.
 */
export async function withLock<R>(
  name: string,
  say: (line: string) => void,
  work: () => Promise<R>,
): Promise<R> {
  const lock = new DatabaseSync(join(servicesFolder(), `${name}.lock`), { timeout: 0 })
  try {
    if (!takes(lock)) {
      say(`waiting for another process that is busy with ${name}`)
      if (!(await comesTrue(() => takes(lock), lockWithinMs)))
        throw new ServiceError('services.start-failed', `another process is busy with ${name} for too long`)
    }
    return await work()
  } finally {
    lock.close()
  }
}

function takes(lock: DatabaseSync): boolean {
  try {
    lock.exec('begin exclusive')
    return true
  } catch (error) {
    if ((error as { errcode?: number }).errcode === sqliteBusy) return false
    throw error
  }
}
