import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type Both, fill, sentences, verdictCodes } from './sentences.ts'

const placeholders = (text: string): readonly string[] =>
  [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).toSorted()

test.each(verdictCodes)('%s has both languages, that differ and speak of the same', (code) => {
  const { sentence, next } = sentences[code]
  for (const { en, zh } of [sentence, next] as readonly Both[]) {
    expect(zh).not.toBe(en)
    expect(zh).toMatch(/[\u4e00-\u9fff]/)
    expect(en).not.toMatch(/[\u4e00-\u9fff]/)
    expect(en).toMatch(/[.…?]$/)
    expect([...new Set(placeholders(zh))]).toEqual([...new Set(placeholders(en))])
    // Half-width punctuation after a Chinese character is a slip of the keyboard.
    expect(zh).not.toMatch(/[\u4e00-\u9fff][,;:?!()]/)
  }
})

test('what is not filled in stays to be seen', () => {
  const words = { en: '{a} and {b}', zh: '{b} 和 {a}' }
  expect(fill(words, { a: 1, b: { en: 'two', zh: '二' } })).toEqual({ en: '1 and two', zh: '二 和 1' })
  expect(fill(words, { a: 1 }).en).toBe('1 and {b}')
})

test('docs/reference/verdicts.md lists every code with both sentences and both next steps', () => {
  const text = readFileSync('docs/reference/verdicts.md', 'utf8')
  const entries = [...text.matchAll(/^### `([^`]+)`\n\n([\s\S]*?)(?=\n### |\n## |$(?![\s\S]))/gm)]
  const documented = Object.fromEntries(entries.map((entry) => [entry[1]!, entry[2]!]))
  expect(Object.keys(documented).toSorted()).toEqual([...verdictCodes].toSorted())
  for (const code of verdictCodes)
    for (const { en, zh } of [sentences[code].sentence, sentences[code].next] as readonly Both[]) {
      expect(documented[code]).toContain(en)
      expect(documented[code]).toContain(zh)
    }
})
