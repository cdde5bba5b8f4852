import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { OpenDatabase } from '../../src/core/database.ts'
import { sqlite } from '../../src/databases/sqlite.ts'
import { Waybill, topic } from '../../src/index.ts'
import { systemPorts } from '../../src/system.ts'
import { declare, proven, readAll, settled } from './reader.ts'
import type { Subject } from './subjects.ts'

const Proven = topic<{ n: number }>(proven.name, undefined, { queues: proven.queues })
const rolledBack = 'rolled back by chance'

/** SQLite's writers are serial, so nothing can be held open; roll-backs are all that chance has to play with. */
export async function openSqliteSubject(folder: string): Promise<Subject> {
  mkdirSync(folder, { recursive: true })
  const own = mkdtempSync(join(folder, 'proof-'))
  const file = join(own, 'proof.db')
  const waybill = new Waybill({ service: 'proof', database: sqlite(file) })
  const database = sqlite(file).open(systemPorts, {
    service: 'proof',
    migrate: 'check',
  }) as unknown as OpenDatabase<never>
  await declare(database)
  return {
    holds: false,
    publish: async (drafts, random) => {
      const messages = drafts.map(({ key, n }) => ({ key: `${key}-${n}`, shardingKey: key, body: { n } }))
      const fails = random() < 0.08
      try {
        return await waybill.transaction((tx) => {
          const ids = waybill.publish(tx, Proven, messages)
          if (fails) throw new Error(rolledBack)
          return ids
        })
      } catch (error) {
        if ((error as Error).message === rolledBack) return undefined
        throw error
      }
    },
    read: (tally, signal) => readAll(database, tally, signal),
    readNaively: () =>
      Promise.reject(new Error('positions come in the order of commits here: nothing to skip')),
    settled,
    dispose: async () => {
      await waybill.stop()
      await database.close()
      rmSync(own, { recursive: true, force: true })
    },
  }
}
