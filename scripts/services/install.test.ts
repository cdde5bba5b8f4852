import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it, onTestFinished } from 'vitest'
import { temporaryFolder } from '../../src/testing/index.ts'
import { type Machine, installPackages } from './install.ts'

const wanted = { title: 'PostgreSQL', packages: ['postgresql'], instead: 'set A_URL to a server of yours' }

/** Remembers what was run, and whether packages could have started their services. */
function fakeMachine(status = 0): Machine & { readonly ran: string[]; readonly policies: boolean[] } {
  const folder = temporaryFolder()
  onTestFinished(() => folder.remove())
  const policyFile = folder.file('policy-rc.d')
  const ran: string[] = []
  const policies: boolean[] = []
  return {
    isRoot: true,
    hasApt: true,
    policyFile,
    ran,
    policies,
    run: async (command, args, onLine) => {
      ran.push([command, ...args].join(' '))
      policies.push(existsSync(policyFile))
      onLine('Unpacking postgresql')
      onLine('something broke')
      return args[0] === 'update' ? 0 : status
    },
  }
}

const quiet = (): void => {}

describe('installing packages', () => {
  it('updates the lists, installs without what is only recommended, and shows how far it is', async () => {
    const machine = fakeMachine()
    const said: string[] = []
    await installPackages(wanted, (line) => said.push(line), machine)
    expect(machine.ran).toEqual([
      'apt-get update',
      'apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends postgresql',
    ])
    expect(said).toContain('  Unpacking postgresql')
  })

  it('lets no package start a server of its own, and forbids it no longer afterwards', async () => {
    for (const status of [0, 100]) {
      const machine = fakeMachine(status)
      await installPackages(wanted, quiet, machine).catch(quiet)
      expect(machine.policies).toEqual([true, true])
      expect(existsSync(machine.policyFile)).toBe(false)
    }
  })

  it('leaves a policy alone that was there', async () => {
    const machine = fakeMachine()
    writeFileSync(machine.policyFile, 'theirs')
    await installPackages(wanted, quiet, machine)
    expect(readFileSync(machine.policyFile, 'utf8')).toBe('theirs')
  })

  it('says exactly what to do where it may not install', async () => {
    const machine = { ...fakeMachine(), isRoot: false }
    await expect(installPackages(wanted, quiet, machine)).rejects.toThrow(
      'services.not-installed: PostgreSQL is not installed, and only root may install it. Run "sudo apt-get install -y --no-install-recommends postgresql", or set A_URL to a server of yours',
    )
    await expect(installPackages(wanted, quiet, { ...machine, hasApt: false })).rejects.toThrow(
      'services.not-installed: PostgreSQL is not installed, and this machine has no apt-get',
    )
    expect(machine.ran).toEqual([])
  })

  it('shows the end of what apt-get said when it fails', async () => {
    await expect(installPackages(wanted, quiet, fakeMachine(100))).rejects.toThrow(
      /^services\.install-failed: apt-get .* ended with 100\..*something broke$/s,
    )
  })
})
