import { expect, it, vi } from 'vitest'
import SkipReasons from './skip-reasons.ts'

it('each reason is said once, at the end of the run', () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  const reporter = new SkipReasons()
  const missing = 'tests are skipped, no postgres: services.not-installed: there is none'
  const other = 'tests are skipped, no mariadb: services.not-installed: there is none'
  reporter.onUserConsoleLog({ content: `postgres: looking\n${missing}\n` })
  reporter.onUserConsoleLog({ content: `${missing}\n${other}\n` })
  expect(log).not.toHaveBeenCalled()
  reporter.onTestRunEnd()
  expect(log.mock.calls).toEqual([[missing], [other]])
  log.mockRestore()
})
