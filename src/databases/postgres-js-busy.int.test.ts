import postgres from 'postgres'
import { describe, expect, test } from 'vitest'
import {
  freshDatabase,
  requireInstalled,
  requireService,
  startPrivateService,
} from '../../scripts/services/index.ts'
import { testPorts } from '../testing/ports.ts'
import { PostgresJsDriver } from './postgres-js-driver.ts'

const found = await requireService('postgres')
const pooler = await requireInstalled('pgbouncer')
const chains = 6
const times = 200

describe.skipIf('skipped' in found || 'skipped' in pooler)(
  'a postgres.js whose connections are all busy',
  () => {
    test.each([
      { name: 'that prepares', prepare: true, pooled: false },
      { name: 'that does not prepare', prepare: false, pooled: false },
      { name: 'behind PgBouncer', prepare: false, pooled: true },
    ])('answers everybody with what was asked: one $name', async ({ prepare, pooled }) => {
      const upstream = 'url' in found ? found.url : ''
      await using database = await freshDatabase('postgres', upstream)
      await using bouncer = await startPrivateService('pgbouncer', { settings: { upstream } })
      const url = new URL(database.url)
      if (pooled) url.host = new URL(bouncer.url).host
      const sql = postgres(url.href, { prepare, max: 2, onnotice: () => {} })
      const driver = new PostgresJsDriver(sql, testPorts())
      const asked = async (chain: number): Promise<void> => {
        for (let n = 0; n < times; n++) {
          const { rows } = await driver.query('select $1::int as n', [chain * times + n])
          expect(rows).toEqual([{ n: chain * times + n }])
        }
      }
      const askedWithout = async (chain: number): Promise<void> => {
        for (let n = 0; n < times; n++) {
          const { rows } = await driver.query(`select ${chain * times + n} as n`, [])
          expect(rows).toEqual([{ n: chain * times + n }])
        }
      }
      const alone = async (chain: number): Promise<void> => {
        for (let n = 0; n < times; n++)
          expect(await driver.alone(`select ${chain * times + n} as n`)).toEqual([{ n: chain * times + n }])
      }
      const inSession = async (chain: number): Promise<void> => {
        for (let n = 0; n < times; n++) {
          const session = await driver.session()
          await session.query('begin', [])
          const { rows } = await session.query('select $1::int as n', [chain * times + n])
          await session.query('commit', [])
          session.release()
          expect(rows).toEqual([{ n: chain * times + n }])
        }
      }
      const all = Array.from({ length: chains }, (_, chain) => [
        asked(chain),
        askedWithout(chain),
        alone(chain),
        inSession(chain),
      ])
      await Promise.all(all.flat())
      await sql.end({ timeout: 1 })
    })
  },
)
