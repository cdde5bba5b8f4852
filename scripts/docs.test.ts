import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { migrations } from '../src/stores/sqlite/migrations/index.ts'
import { errorCodes } from '../src/core/errors.ts'
import { states } from '../src/core/state.ts'
import { counters } from '../src/core/telemetry.ts'
import { type Code, anchors, codeBlocks, links, markdownFiles } from './markdown.ts'

const snippetTimeoutMs = 60_000
const quickStartLinesMax = 30

test(
  'every TypeScript block in the documents compiles',
  () => {
    mkdirSync('.reports', { recursive: true })
    // Inside the project, so that the configuration resolves 'waybill' to the sources.
    const folder = mkdtempSync('.reports/doc-snippets-')
    try {
      expect(writeSnippets(folder)).toBeGreaterThan(0)
      expect(compile(folder)).toEqual([])
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
  snippetTimeoutMs,
)

/** Writes each block as a module of its own, on the lines that it has in its document. Answers how many. */
function writeSnippets(folder: string): number {
  const config = { extends: '../../tsconfig.json', include: ['**/*.ts', '**/*.mts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const snippets = markdownFiles().flatMap((file) =>
    codeBlocks(file)
      .filter(({ language }) => language === 'ts')
      .map((block) => ({ file, block })),
  )
  for (const { file, block } of snippets) {
    const path = join(folder, file, block.file ?? `line-${block.line}.ts`)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, inPlace(block.setup ? [block.setup, block] : [block]))
  }
  return snippets.length
}

/** Answers what the compiler finds wrong, except in the sources themselves, which are checked elsewhere. */
function compile(folder: string): readonly string[] {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '--project', folder, '--noEmit', '--pretty', 'false'],
    { encoding: 'utf8' },
  )
  if (status !== 0 && stdout === '') return [`the compiler failed: ${stderr}`]
  return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('src/'))
}

function inPlace(parts: readonly Code[]): string {
  let text = ''
  for (const part of parts) {
    const written = text.split('\n').length
    text += `${'\n'.repeat(Math.max(0, part.line - written))}${part.text}\n`
  }
  return text
}

test('links between documents lead to files and headings that exist', () => {
  const broken = markdownFiles().flatMap((file) =>
    links(file)
      .filter(({ target }) => !/^[a-z]+:/.test(target) && !resolves(file, target))
      .map(({ target, line }) => `${file}:${line} ${target}`),
  )
  expect(broken).toEqual([])
})

function resolves(file: string, target: string): boolean {
  const [path, anchor] = target.split('#', 2) as [string, string?]
  const found = path === '' ? file : join(dirname(file), path)
  if (!existsSync(found)) return false
  return anchor === undefined || !found.endsWith('.md') || anchors(found).has(decodeURIComponent(anchor))
}

test('README.md and README.zh-CN.md have the same code', () => {
  const codeOf = (file: string) => codeBlocks(file).map(({ language, text }) => ({ language, text }))
  expect(codeOf('README.zh-CN.md')).toEqual(codeOf('README.md'))
})

test('the quick start has no more than 30 lines', () => {
  const quickStart = codeBlocks('README.md').find(({ file }) => file === 'quickstart.mts')
  expect(quickStart!.text.split('\n').length).toBeLessThanOrEqual(quickStartLinesMax)
})

test('errors.md has one entry for each error code, and no other', () => {
  const entries = [...readFileSync('docs/reference/errors.md', 'utf8').matchAll(/^### `([^`]+)`$/gm)]
  expect(entries.map((entry) => entry[1]).toSorted()).toEqual([...errorCodes].toSorted())
})

test.each<[string, string, readonly string[]]>([
  [
    'every counter is in metrics.md',
    'docs/reference/metrics.md',
    counters.map((one) => `waybill_${one}_total`),
  ],
  ['every state is in states.md', 'docs/reference/states.md', states],
  ['every table and view is in facts.md', 'docs/reference/facts.md', tables()],
  ['every public export is in api.md', 'docs/reference/api.md', publicExports()],
])('%s', (_, file, names) => {
  const text = readFileSync(file, 'utf8')
  expect(names.length).toBeGreaterThan(0)
  expect(names.filter((name) => !new RegExp(`\`${name}\\b`).test(text))).toEqual([])
})

function tables(): readonly string[] {
  const sql = migrations.map((migration) => migration.sql).join('\n')
  return [...sql.matchAll(/create (?:table|view) (\w+)/g)].map((match) => match[1]!)
}

function publicExports(): readonly string[] {
  const exported = [...readFileSync('src/index.ts', 'utf8').matchAll(/export (?:type )?\{([^}]*)\}/g)]
  return exported
    .flatMap((match) => match[1]!.split(','))
    .map((name) => name.replace(/^\s*type /, '').trim())
    .filter((name) => name !== '')
}
