import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  freshDatabase,
  requireInstalled,
  serviceNames,
  serviceStatus,
  serviceUrl,
  startService,
  stopService,
} from './index.ts'
import { kinds } from './kinds.ts'
import { isAlive, killServerProcess } from './processes.ts'
import { ask } from './services-fixture.ts'
import { releaseServices, runVariable } from './shared.ts'
import { servicesFolder } from './state.ts'

interface Said {
  readonly how: string
  readonly pid: number
  readonly url: string
}

const program = fileURLToPath(new URL('../services.ts', import.meta.url))
const runFile = promisify(execFile)

/** A machine of its own, as far as the shared servers are concerned: others may be using the real ones now. */
const machine = mkdtempSync(join(tmpdir(), 'waybill-machine-'))
// The servers run as other users, which must be able to pass through it.
chmodSync(machine, 0o711)

const isolate = (): void => {
  vi.stubEnv('TMPDIR', machine)
  vi.stubEnv(runVariable, undefined)
  for (const { variable } of Object.values(kinds)) vi.stubEnv(variable, undefined)
}
beforeAll(isolate)
afterEach(async () => {
  vi.unstubAllEnvs()
  isolate()
  for (const name of serviceNames) await stopService(name)
})
afterAll(() => rmSync(machine, { recursive: true, force: true }))

async function command(...words: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return runFile(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...words])
}

for (const name of serviceNames)
  describe.skipIf('skipped' in (await requireInstalled(name)))(`the shared ${name}`, () => {
    const { variable } = kinds[name]

    it('two processes that start it at once use the same one', async () => {
      const answers = await Promise.all([0, 1].map(() => command('start', name, '--json')))
      const [one, other] = answers.map(({ stdout }) => (JSON.parse(stdout) as [Said])[0]) as [Said, Said]
      expect(one.pid).toBe(other.pid)
      expect([one.how, other.how].sort()).toEqual(['already running', 'started'])
      expect(await ask(name, one.url, 'select 1 as n')).toEqual([{ n: 1 }])
    })

    it('each test has a database of its own on it', async () => {
      const { url } = await startService(name)
      await using first = await freshDatabase(name, url)
      await using second = await freshDatabase(name, url)
      await ask(name, first.url, 'create table t (n int)')
      await ask(name, second.url, 'create table t (n int)')
      await first.drop()
      await expect(ask(name, first.url, 'select n from t')).rejects.toThrow(first.name)
      expect(await ask(name, second.url, 'select n from t')).toEqual([])
    })

    it('stop ends the process and removes the data; the state file was private', async () => {
      const { server } = await startService(name)
      expect(statSync(join(server!.folder, 'state.json')).mode & 0o077).toBe(0)
      expect(serviceStatus(name)?.pid).toBe(server!.pid)

      expect(await stopService(name)).toBe(true)
      expect(isAlive(server!.pid)).toBe(false)
      expect(existsSync(server!.folder)).toBe(false)
      expect(readdirSync(servicesFolder()).filter((entry) => !entry.endsWith('.lock'))).toEqual([])
      expect(serviceStatus(name)).toBeUndefined()
      expect(await stopService(name)).toBe(false)
    })

    it('one that was killed is replaced', async () => {
      const { server } = await startService(name)
      await killServerProcess(server!.pid, server!.dataFolder)
      expect(serviceStatus(name)).toBeUndefined()
      const again = await startService(name)
      expect(again.how).toBe('started')
      expect(again.server!.pid).not.toBe(server!.pid)
    })

    it('stays until the last test run that uses it has ended', async () => {
      const [firstRun, secondRun] = [`${process.ppid}`, `${process.pid}`]
      vi.stubEnv(runVariable, firstRun)
      const { server } = await startService(name)
      vi.stubEnv(runVariable, secondRun)
      expect((await startService(name)).how).toBe('already running')

      await releaseServices(firstRun)
      expect(serviceStatus(name)?.users).toEqual([secondRun])
      await releaseServices(secondRun)
      expect(isAlive(server!.pid)).toBe(false)
    })

    it('stays after a test run if somebody started it by hand', async () => {
      await startService(name)
      vi.stubEnv(runVariable, `${process.pid}`)
      await startService(name)
      await releaseServices(`${process.pid}`)
      expect(serviceStatus(name)?.users).toEqual(['kept'])
    })

    it('a server that the environment names is used, and none is started or stopped', async () => {
      const { url, server } = await startService(name)
      const elsewhere = mkdtempSync(join(machine, 'elsewhere-'))
      vi.stubEnv('TMPDIR', elsewhere)
      vi.stubEnv(variable, url)
      expect(await startService(name)).toEqual({ name, url, variable, how: 'given by the environment' })
      expect(await stopService(name)).toBe(false)
      expect(isAlive(server!.pid)).toBe(true)
    })

    it('a server that the environment names and that does not answer is a fault, not a reason to skip', async () => {
      const { url } = await startService(name)
      await stopService(name)
      vi.stubEnv(variable, url)
      await expect(serviceUrl(name)).rejects.toThrow(`${variable} names it`)
    })

    it('the command prints a line for the shell, and says the rest on standard error', async () => {
      const { stdout, stderr } = await command('start', name)
      expect(stdout).toBe(`export ${variable}=${serviceStatus(name)!.url}\n`)
      expect(stderr).toContain(`${name}: started in`)
      expect((await command('stop', name)).stderr).toContain('its data is removed')
    })
  })
