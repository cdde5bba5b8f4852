import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { temporaryFolder } from '../../src/testing/index.ts'
import {
  copyData,
  crashService,
  haltService,
  removeService,
  requireInstalled,
  restartService,
  serviceNames,
  startPrivateService,
} from './index.ts'
import { isAlive } from './processes.ts'
import { ask, connect } from './services-fixture.ts'

for (const name of serviceNames)
  describe.skipIf('skipped' in (await requireInstalled(name)))(`a private ${name}`, () => {
    it('kill -9 keeps what was committed and nothing else; the URL stays', async () => {
      await using server = await startPrivateService(name)
      const { url, pid } = server
      await ask(name, url, 'create table kept (n int)')
      await ask(name, url, 'insert into kept values (1)')
      await using open = await connect(name, url)
      await open.query('begin')
      await open.query('insert into kept values (2)')

      await crashService(server)
      expect(isAlive(pid!)).toBe(false)
      expect(server.pid).toBeUndefined()
      await expect(ask(name, url, 'select 1')).rejects.toThrow(/ECONN(REFUSED|RESET)/)

      await restartService(server)
      expect(server.pid).not.toBe(pid)
      expect(server.url).toBe(url)
      expect(await ask(name, url, 'select n from kept')).toEqual([{ n: 1 }])
    })

    it('a copy of the data of a halted server is a server of its own', async () => {
      const folder = temporaryFolder()
      onTestFinished(() => folder.remove())
      await using original = await startPrivateService(name)
      await ask(name, original.url, 'create table kept (n int)')
      expect(() => copyData(original, folder.path)).toThrow('services.still-running')

      await haltService(original)
      const data = copyData(original, folder.file('backup'))
      await restartService(original)
      await ask(name, original.url, 'insert into kept values (1)')

      await using restored = await startPrivateService(name, { data })
      expect(restored.port).not.toBe(original.port)
      expect(await ask(name, restored.url, 'select n from kept')).toEqual([])
      expect(await ask(name, original.url, 'select n from kept')).toEqual([{ n: 1 }])
    })

    it('nothing is left of a removed server', async () => {
      const server = await startPrivateService(name)
      const { pid, dataFolder } = server
      await removeService(server)
      expect(isAlive(pid!)).toBe(false)
      expect(existsSync(dirname(dataFolder))).toBe(false)
    })

    it('a server that does not come up says why, and leaves nothing', async () => {
      const wrong = { nosuchsetting: 'x' }
      await expect(startPrivateService(name, { settings: wrong })).rejects.toThrow(
        /services\.start-failed: .*nosuchsetting/s,
      )
    })
  })

describe.skipIf('skipped' in (await requireInstalled('postgres')))('postgres', () => {
  it('is durable, and says so', async () => {
    await using server = await startPrivateService('postgres', { settings: { work_mem: '8MB' } })
    const names = [
      'fsync',
      'synchronous_commit',
      'full_page_writes',
      'wal_level',
      'listen_addresses',
      'work_mem',
    ]
    const rows = await ask(
      'postgres',
      server.url,
      `select name, setting from pg_settings where name in ('${names.join("','")}')`,
    )
    expect(Object.fromEntries(rows.map((row) => [row['name'], row['setting']]))).toEqual({
      fsync: 'on',
      full_page_writes: 'on',
      listen_addresses: '127.0.0.1',
      synchronous_commit: 'on',
      wal_level: 'logical',
      work_mem: '8192',
    })
  })
})

describe.skipIf('skipped' in (await requireInstalled('mariadb')))('mariadb', () => {
  it('is durable, and says so', async () => {
    await using server = await startPrivateService('mariadb')
    const rows = await ask(
      'mariadb',
      server.url,
      'select @@innodb_flush_log_at_trx_commit f, @@character_set_server c, @@bind_address b, @@max_connections m',
    )
    expect(rows).toEqual([{ f: 1, c: 'utf8mb4', b: '127.0.0.1', m: 300 }])
  })

  it('has no account without a password', async () => {
    await using server = await startPrivateService('mariadb')
    const url = new URL(server.url)
    for (const user of ['root', '', 'waybill']) {
      await expect(ask('mariadb', `mysql://${user}@${url.host}/`, 'select 1')).rejects.toThrow(
        'Access denied',
      )
    }
  })
})
