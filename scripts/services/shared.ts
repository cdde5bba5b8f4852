/**
 * The servers that all tests of this user share: one of each kind, in a folder that everybody finds. Whoever comes first starts
 * it, under a lock; the others use it, each test in a database of its own.
 */
import { join } from 'node:path'
import { ServiceError } from './errors.ts'
import { kinds } from './kinds.ts'
import { isAlive, isServerOf } from './processes.ts'
import {
  type Say,
  type ServerKind,
  ensureInstalled,
  launchOnFreePort,
  makePlace,
  stopCleanly,
  versionOf,
} from './server.ts'
import {
  type ServerName,
  type ServerState,
  type ServiceName,
  keptUser,
  readState,
  removeFolder,
  serviceNames,
  servicesFolder,
  withLock,
  writeState,
} from './state.ts'

/** The pid of the test run that started this process, if it is one: see vitest-setup.ts. */
export const runVariable = 'WAYBILL_SERVICES_RUN'

export interface StartedService {
  readonly name: ServiceName
  readonly url: string
  /** The name of the environment variable that holds such a URL. */
  readonly variable: string
  readonly how: 'started' | 'already running' | 'given by the environment'
  /** Undefined for a server that is not ours. */
  readonly server?: ServerState
}

const silent: Say = () => {}

/**
 * Starts the shared server unless it runs, and waits until it accepts connections.
 * @param say hears what is going on, line by line
 * @throws ServiceError
 */
export async function startService(name: ServiceName, say: Say = silent): Promise<StartedService> {
  const kind = kinds[name]
  const { variable } = kind
  const given = process.env[variable]
  if (given !== undefined && given !== '') {
    await expectAnswer(kind, given, `${variable} names it: unset the variable, or start that server`)
    return { name, url: given, variable, how: 'given by the environment' }
  }
  return withLock(name, say, async () => {
    const running = await runningServer(kind)
    const server = running === undefined ? await startServer(kind, say) : addUser(running, currentUser())
    const how = running === undefined ? 'started' : 'already running'
    return { name, url: server.url, variable, how, server }
  })
}

/** Stops the shared server and removes its data. Returns whether there was one. */
export async function stopService(name: ServiceName, say: Say = silent): Promise<boolean> {
  return withLock(name, say, async () => {
    const server = readState(sharedFolder(name))
    await removeServer(kinds[name], server)
    return server !== undefined
  })
}

/** The shared server, if it runs. */
export function serviceStatus(name: ServiceName): ServerState | undefined {
  const server = readState(sharedFolder(name))
  return server !== undefined && server.ready && isServerOf(server.pid, server.dataFolder)
    ? server
    : undefined
}

/** Ends the use of the shared servers by a test run, and stops those that nobody else uses. */
export async function releaseServices(run: string): Promise<void> {
  for (const name of serviceNames) {
    if (readState(sharedFolder(name)) === undefined) continue
    await withLock(name, silent, async () => {
      const server = readState(sharedFolder(name))
      if (server === undefined) return
      const users = server.users.filter(
        (user) => user !== run && (user === keptUser || isAlive(Number(user))),
      )
      // Not used by this run: somebody else's to stop.
      if (!server.users.includes(run)) return
      if (users.length === 0) await removeServer(kinds[name], server)
      else writeState({ ...server, users })
    })
  }
}

const sharedFolder = (name: ServerName): string => join(servicesFolder(), name)

/** Without a test run that will end its use, a server stays until somebody stops it. */
const currentUser = (): string => process.env[runVariable] ?? keptUser

/** The server of the state file, if it is really there; what is left of a dead one is removed: its tests are long over. */
async function runningServer(kind: ServerKind): Promise<ServerState | undefined> {
  const server = readState(sharedFolder(kind.name))
  if (server?.ready === true && isServerOf(server.pid, server.dataFolder)) {
    // It may only be busy with others, so it is not replaced.
    await expectAnswer(kind, server.url, `stop it with "npm run services -- stop ${kind.name}"`)
    return server
  }
  await removeServer(kind, server)
  return undefined
}

async function startServer(kind: ServerKind, say: Say): Promise<ServerState> {
  const programs = await withLock('install', say, () => ensureInstalled(kind, say))
  const folder = sharedFolder(kind.name)
  const version = versionOf(programs)
  say(`starting ${version}`)
  const first = await makePlace(kind, folder, programs)
  await kind.initialize(first)
  let state: ServerState | undefined
  await launchOnFreePort(kind, first, (place, pid) => {
    const { port, dataFolder, logFile } = place
    const users = [currentUser()]
    const url = kind.url(place)
    state = { name: kind.name, version, pid, port, url, folder, dataFolder, logFile, ready: false, users }
    writeState(state)
  })
  return writeState({ ...state!, ready: true })
}

function addUser(server: ServerState, user: string): ServerState {
  return server.users.includes(user) ? server : writeState({ ...server, users: [...server.users, user] })
}

async function removeServer(kind: ServerKind, server: ServerState | undefined): Promise<void> {
  if (server !== undefined) await stopCleanly(kind, server.pid, server.dataFolder)
  await removeFolder(sharedFolder(kind.name))
}

async function expectAnswer(kind: ServerKind, url: string, advice: string): Promise<void> {
  try {
    await kind.ask(url)
  } catch (error) {
    throw new ServiceError(
      'services.unreachable',
      `${kind.title} does not answer (${String(error)}); ${advice}`,
      { cause: error },
    )
  }
}
