/**
 * A server that one test has for itself, to crash it, stop it and start it again, and to copy its data. It has its own port,
 * data folder and password; nobody shares it.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ServiceError } from './errors.ts'
import { kinds } from './kinds.ts'
import { isAlive, killServerProcess } from './processes.ts'
import {
  type Place,
  ensureInstalled,
  launch,
  launchOnFreePort,
  makePlace,
  stopCleanly,
  versionOf,
} from './server.ts'
import { type ServerName, readState, removeFolder, servicesFolder, withLock, writeState } from './state.ts'

export interface PrivateServer extends AsyncDisposable {
  readonly name: ServerName
  /** The same over crashes and restarts. */
  readonly url: string
  readonly port: number
  readonly dataFolder: string
  readonly logFile: string
  /** Undefined while the server is down. */
  readonly pid: number | undefined
}

/** The data of a server that was down, as a base backup. */
export interface DataCopy {
  readonly name: ServerName
  readonly dataFolder: string
  readonly password: string
}

export interface PrivateOptions {
  /** Settings over the durable ones, by the server's own names: `{ fsync: 'off' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Starts on this data instead of on none. The copy is copied, so that it can be used again. */
  readonly data?: DataCopy
}

const prefix = 'private-'

/** The mutable half of a PrivateServer, which only this module may change. */
interface Running {
  readonly place: Place
  readonly owner: string
  readonly version: string
  pid: number | undefined
}

const runningOf = new WeakMap<PrivateServer, Running>()

/**
 * Starts a server of the test's own. `await using` removes it at the end of the block; so does `removeService`. What a killed
 * test leaves behind, the next private server's start removes.
 * @throws ServiceError; `requireService` tells first whether the machine has such a server
 */
export async function startPrivateService(
  name: ServerName,
  { settings = {}, data }: PrivateOptions = {},
): Promise<PrivateServer> {
  const kind = kinds[name]
  await removeOrphans()
  const programs = await withLock(
    'install',
    () => {},
    () => ensureInstalled(kind, () => {}),
  )
  const folder = mkdtempSync(join(servicesFolder(), `${prefix}${process.pid}-${name}-`))
  try {
    const given = data === undefined ? { settings } : { settings, password: data.password }
    const first = await makePlace(kind, folder, programs, given)
    if (data === undefined) await kind.initialize(first)
    else copyFolder(data.dataFolder, first.dataFolder)
    const version = versionOf(programs)
    const owner = `${process.pid}`
    const started = await launchOnFreePort(kind, first, (place, pid) => {
      remember({ place, owner, version, pid }, name)
    })
    return privateServer(name, { ...started, owner, version })
  } catch (error) {
    await removeFolder(folder)
    throw error
  }
}

/** kill -9, of the server and all its processes. The data stays as the crash left it. */
export async function crashService(server: PrivateServer): Promise<void> {
  const running = runningOf.get(server)!
  if (running.pid !== undefined) await killServerProcess(running.pid, running.place.dataFolder)
  running.pid = undefined
}

/** Stops the server cleanly and keeps its data. */
export async function haltService(server: PrivateServer): Promise<void> {
  const running = runningOf.get(server)!
  if (running.pid !== undefined) await stopCleanly(kinds[server.name], running.pid, running.place.dataFolder)
  running.pid = undefined
}

/** Starts the server on its port and its data, after a clean stop if it still runs. */
export async function restartService(server: PrivateServer): Promise<void> {
  await haltService(server)
  const running = runningOf.get(server)!
  running.pid = await launch(kinds[server.name], running.place, (pid) => {
    remember({ ...running, pid }, server.name)
  })
}

/** Kills the server and removes all that it had. */
export async function removeService(server: PrivateServer): Promise<void> {
  await crashService(server)
  await removeFolder(runningOf.get(server)!.place.folder)
}

/**
 * Copies the data of a server that is down; `startPrivateService(name, { data })` starts on it.
 * @throws ServiceError while the server runs: files copied under it would be of different moments
 */
export function copyData(server: PrivateServer, folder: string): DataCopy {
  const { place, pid } = runningOf.get(server)!
  if (pid !== undefined) {
    throw new ServiceError('services.still-running', `${server.name} (${pid}) runs; halt or crash it first`)
  }
  mkdirSync(folder, { recursive: true })
  copyFolder(place.dataFolder, folder)
  return { name: server.name, dataFolder: folder, password: place.password }
}

/** By `cp -a` and not by Node, which would make us the owner of the files; servers refuse files that are not theirs. */
function copyFolder(from: string, to: string): void {
  execFileSync('cp', ['-a', `${from}/.`, to])
}

function privateServer(name: ServerName, running: Running): PrivateServer {
  const { place } = running
  const server: PrivateServer = {
    name,
    url: kinds[name].url(place),
    port: place.port,
    dataFolder: place.dataFolder,
    logFile: place.logFile,
    get pid() {
      return running.pid
    },
    [Symbol.asyncDispose]: () => removeService(server),
  }
  runningOf.set(server, running)
  return server
}

function remember({ place, owner, version, pid }: Running, name: ServerName): void {
  const { folder, dataFolder, logFile, port } = place
  const url = kinds[name].url(place)
  writeState({
    name,
    version,
    pid: pid!,
    port,
    url,
    folder,
    dataFolder,
    logFile,
    ready: true,
    users: [owner],
  })
}

/** Removes the private servers of processes that are no more. Returns how many. */
export async function removeOrphans(): Promise<number> {
  const root = servicesFolder()
  const orphans = readdirSync(root).filter(
    (entry) => entry.startsWith(prefix) && !isAlive(Number(entry.slice(prefix.length).split('-')[0])),
  )
  for (const entry of orphans) {
    const folder = join(root, entry)
    const state = readState(folder)
    if (state !== undefined) await killServerProcess(state.pid, state.dataFolder)
    await removeFolder(folder)
  }
  return orphans.length
}
