/** Installs Debian packages where this process may, and says what to do where it may not. */
import { spawn } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { ServiceError } from './errors.ts'

export interface Wanted {
  /** As people call it. */
  readonly title: string
  readonly packages: readonly string[]
  /** What else a person can do. */
  readonly instead: string
}

/** The machine, so that tests can have another one. */
export interface Machine {
  readonly isRoot: boolean
  readonly hasApt: boolean
  /** Where Debian's packages ask whether they may start their services. */
  readonly policyFile: string
  run(command: string, args: readonly string[], onLine: (line: string) => void): Promise<number>
}

const outputLinesMax = 20
/** Lines of apt-get that show how far it is. */
const progressForm = /^(?:Get:|Fetched |Unpacking |Setting up )/

/** @throws ServiceError that says what to do instead */
export async function installPackages(
  wanted: Wanted,
  say: (line: string) => void,
  machine: Machine = thisMachine(),
): Promise<void> {
  const { title, packages, instead } = wanted
  const install = ['install', '-y', '--no-install-recommends', ...packages]
  if (!machine.hasApt) {
    throw new ServiceError(
      'services.not-installed',
      `${title} is not installed, and this machine has no apt-get to install it with. Install it, or ${instead}`,
    )
  }
  if (!machine.isRoot) {
    throw new ServiceError(
      'services.not-installed',
      `${title} is not installed, and only root may install it. Run "sudo apt-get ${install.join(' ')}", or ${instead}`,
    )
  }
  say(`installing ${packages.join(' ')} from Debian's packages`)
  const output: string[] = []
  const onLine = (line: string): void => {
    output.push(line)
    if (progressForm.test(line)) say(`  ${line}`)
  }
  const allowStarts = forbidStarts(machine.policyFile)
  try {
    // Without a list there is nothing to install; with an old one, packages that are no longer there.
    await machine.run('apt-get', ['update'], onLine)
    const status = await machine.run('apt-get', ['-o', 'DPkg::Lock::Timeout=300', ...install], onLine)
    if (status === 0) return
    throw new ServiceError(
      'services.install-failed',
      `apt-get ${install.join(' ')} ended with ${status}. Make it work, or ${instead}. It said:\n${output.slice(-outputLinesMax).join('\n')}`,
    )
  } finally {
    allowStarts()
  }
}

/** Keeps a package from starting a server of its own, on the usual port and for good. Returns what takes that back. */
function forbidStarts(policyFile: string): () => void {
  // Somebody else's policy is theirs to keep.
  if (existsSync(policyFile)) return () => {}
  const denied = 101
  writeFileSync(
    policyFile,
    `#!/bin/sh\n# Made by Waybill's "npm run services" for one installation; remove it.\nexit ${denied}\n`,
    {
      mode: 0o755,
    },
  )
  return () => rmSync(policyFile, { force: true })
}

function thisMachine(): Machine {
  return {
    isRoot: userInfo().uid === 0,
    hasApt: findProgram('apt-get') !== undefined,
    policyFile: '/usr/sbin/policy-rc.d',
    run,
  }
}

/** The first folder of PATH, then of `alsoIn`, that has all of these programs. */
export function findFolderOf(
  programs: readonly [string, ...string[]],
  alsoIn: readonly string[] = [],
): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...alsoIn]
  return folders.find(
    (folder) => folder !== '' && programs.every((program) => existsSync(join(folder, program))),
  )
}

export function findProgram(program: string, alsoIn: readonly string[] = []): string | undefined {
  const folder = findFolderOf([program], alsoIn)
  return folder === undefined ? undefined : join(folder, program)
}

function run(command: string, args: readonly string[], onLine: (line: string) => void): Promise<number> {
  const child = spawn(command, args, {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  createInterface({ input: child.stdout }).on('line', onLine)
  createInterface({ input: child.stderr }).on('line', onLine)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
}
