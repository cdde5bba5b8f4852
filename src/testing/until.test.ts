import { expect, test, vi } from 'vitest'
import { until } from './until.ts'

test('until answers what the condition answered once it holds', async () => {
  let looks = 0
  expect(await until('the third look', () => (++looks === 3 ? 'here' : undefined))).toBe('here')
})

test('until names what did not come true', async () => {
  await expect(until('pigs fly', () => false, 1)).rejects.toThrow('waited 1 ms in vain until pigs fly')
})

test('until passes on what a look throws', async () => {
  const failing = until('it holds', () => Promise.reject(new Error('no server')))
  await expect(failing).rejects.toThrow('no server')
})

test('until says so where a look is not answered', async () => {
  vi.useFakeTimers()
  const looking = until('the server answers', () => new Promise<never>(() => {}), 1)
  const failure = looking.catch((error: Error) => error.message)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(await failure).toBe('looking whether the server answers was not answered')
  vi.useRealTimers()
})
