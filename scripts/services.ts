/**
 * `npm run services -- start|stop|status [postgres] [mariadb] [--json]`: the database servers that tests need, on this machine,
 * without Docker. Standard output holds only what programs read, the `export` lines or the JSON; so
 * `eval "$(npm run -s services -- start postgres)"` sets the variables.
 *
 * Exit status: 0 done; 1 it could not be done, with a stable code; 2 wrong usage.
 */
import { Argument, Command, CommanderError } from 'commander'
import { type ServiceName, ServiceError, serviceNames } from './services/index.ts'
import { kinds } from './services/kinds.ts'
import { removeOrphans } from './services/private.ts'
import { serviceStatus, startService, stopService } from './services/shared.ts'

interface Answer {
  readonly name: ServiceName
  readonly state: 'running' | 'stopped'
  readonly [fact: string]: unknown
}

const usageStatus = 2

async function start(name: ServiceName): Promise<Answer> {
  const startMs = performance.now()
  const { how, url, variable, server } = await startService(name, (line) => tell(`${name}: ${line}`))
  const ms = Math.round(performance.now() - startMs)
  tell(`${name}: ${how}${how === 'started' ? ` in ${ms} ms` : ''}${server ? `, pid ${server.pid}` : ''}`)
  const { version, pid, port, folder, logFile } = server ?? {}
  return { name, state: 'running', how, url, variable, ms, version, pid, port, folder, logFile }
}

async function stop(name: ServiceName): Promise<Answer> {
  const stopped = await stopService(name, (line) => tell(`${name}: ${line}`))
  tell(`${name}: ${stopped ? 'stopped, its data is removed' : 'none that we started runs'}`)
  return { name, state: 'stopped', stopped }
}

function status(name: ServiceName): Answer {
  const server = serviceStatus(name)
  const { variable } = kinds[name]
  const given = process.env[variable]
  if (given) tell(`${name}: tests use the one of ${variable}`)
  if (server === undefined) {
    tell(`${name}: none that we started runs`)
    return { name, state: 'stopped', variable, given }
  }
  const { url, version, pid, port, folder, logFile, users } = server
  const forWhom = users.includes('kept') ? 'until it is stopped' : `for the test runs ${users.join(', ')}`
  tell(`${name}: runs ${forWhom}, pid ${pid}, port ${port}, ${version}`)
  return { name, state: 'running', url, variable, given, version, pid, port, folder, logFile, users }
}

/** What a shell takes. Each line as soon as it is true: the next server may fail. */
function printVariable({ url, variable, state }: Answer): void {
  if (state === 'running') console.log(`export ${String(variable)}=${String(url)}`)
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

function commandLine(): Command {
  const program = new Command()
    .name('npm run services --')
    .description('Database servers for tests, on this machine: docs/how-to/run-the-servers.md')
    .exitOverride()
  const names = (title: string): Argument => new Argument(title).choices(serviceNames)
  const add = (
    command: string,
    description: string,
    argument: Argument,
    act: (name: ServiceName) => Answer | Promise<Answer>,
  ): Command =>
    program
      .command(command)
      .description(description)
      .addArgument(argument)
      .option('--json', 'print the result as one line of JSON')
      .action(async (chosen: readonly ServiceName[], { json = false }: { json?: boolean }) => {
        const answers: Answer[] = []
        for (const name of chosen.length > 0 ? chosen : serviceNames) {
          const answer = await act(name)
          answers.push(answer)
          if (!json) printVariable(answer)
        }
        if (json) console.log(JSON.stringify(answers))
      })
  add('start', 'starts them, installs them first if need be', names('<names...>'), start)
  add('stop', 'stops what was started here, and removes the data', names('[names...]'), stop).hook(
    'postAction',
    async () => void (await removeOrphans()),
  )
  add('status', 'says what runs', names('[names...]'), status)
  return program
}

try {
  await commandLine().parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : usageStatus
  } else if (error instanceof ServiceError) {
    tell(error.message)
    process.exitCode = 1
  } else throw error
}
