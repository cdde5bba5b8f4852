import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { codeBlocks } from '../../../scripts/markdown.ts'

const linesMax = 99
const source = readFileSync(join(import.meta.dirname, 'transport.ts'), 'utf8')

test('the code of the how-to is the transport that passes the suite', () => {
  const blocks = codeBlocks('docs/how-to/write-a-transport.md').filter(({ language }) => language === 'ts')
  expect(`${blocks[0]?.text}\n`).toBe(source)
})

test('a transport is written in fewer than 100 lines, over nothing but what waybill exports', () => {
  expect(source.trimEnd().split('\n').length).toBeLessThanOrEqual(linesMax)
  const imports = [...source.matchAll(/from '([^']+)'/g)].map((match) => match[1])
  expect(imports).toEqual(['waybill'])
})
