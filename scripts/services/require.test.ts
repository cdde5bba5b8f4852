import { afterAll, afterEach, beforeEach, expect, it, vi } from 'vitest'
import { temporaryFolder } from '../../src/testing/index.ts'
import { ServiceError } from './errors.ts'
import { requireInstalled, requireService } from './require.ts'

vi.mock('./server.ts', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  ensureInstalled: () => Promise.reject(new ServiceError('services.not-installed', 'there is none')),
}))

const folder = temporaryFolder()

beforeEach(() => {
  vi.stubEnv('TMPDIR', folder.path)
  vi.stubEnv('WAYBILL_TEST_POSTGRES_URL', undefined)
  vi.stubEnv('WAYBILL_REQUIRE_ALL', undefined)
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

afterAll(() => folder.remove())

const skipped = 'services.not-installed: there is none'

it('a server that the machine lacks is a reason to skip, which is printed', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  expect(await requireService('postgres')).toEqual({ skipped })
  expect(await requireInstalled('postgres')).toEqual({ skipped })
  expect(log).toHaveBeenCalledWith(`tests are skipped, no postgres: ${skipped}`)
})

it('WAYBILL_REQUIRE_ALL=1 makes it a failure', async () => {
  vi.stubEnv('WAYBILL_REQUIRE_ALL', '1')
  await expect(requireService('postgres')).rejects.toThrow(`there is no postgres: ${skipped}`)
  await expect(requireInstalled('postgres')).rejects.toThrow(`there is no postgres: ${skipped}`)
})
