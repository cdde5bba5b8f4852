import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkFile } from './check-architecture.ts'

const rulesBroken = (file: string, text: string) => checkFile(file, text).map((finding) => finding.rule)

describe('the import rules', () => {
  it.each([
    ['core/relay.ts', '../publish/publish.ts'],
    ['core/policies/retry.ts', '../../log/log.ts'],
    ['core/message.ts', 'node:crypto'],
    ['core/message.ts', 'uuid'],
    ['publish/publish.ts', '../log/log.ts'],
    ['recover/redrive.ts', '../stores/sqlite/store.ts'],
    ['trace/verdict.ts', 'node:fs'],
    ['relay/relay.ts', '../consume/consume.ts'],
    ['consume/consume.ts', '../land/land.ts'],
    ['stores/sqlite/store.ts', '../postgres/store.ts'],
    ['stores/sqlite/store.ts', '../../transports/database/index.ts'],
    ['stores/sqlite/store.ts', '../../log/log.ts'],
    ['stores/sql/tables.ts', '../sqlite/store.ts'],
    ['transports/database/index.ts', '../kafka/index.ts'],
    ['transports/database/index.ts', '../../stores/sqlite/store.ts'],
    ['databases/sqlite.ts', '../consume/consume.ts'],
    ['databases/drizzle.ts', 'drizzle-orm'],
    ['cli/main.ts', '../waybill.ts'],
    ['cli/main.ts', '../stores/sqlite/store.ts'],
    ['cli/main.ts', 'uuid'],
    ['conformance/store.ts', '../stores/sqlite/store.ts'],
    ['conformance/store.ts', 'vitest'],
    ['system.ts', './waybill.ts'],
    ['index.ts', 'node:fs'],
    ['waybill.ts', '../examples/shop/demo.ts'],
    ['waybill.ts', 'waybill/sqlite'],
    ['nowhere/part.ts', '../core/message.ts'],
    ['helpers.ts', './core/message.ts'],
  ])('src/%s may not import %s', (file, source) => {
    expect(rulesBroken(`src/${file}`, `import { a } from '${source}'\nexport const b = a`)).toEqual([
      'import',
    ])
  })

  it.each([
    ['core/policies/retry.ts', '../outcome.ts'],
    ['publish/publish.ts', '../core/message.ts'],
    ['publish/publish.ts', './half.ts'],
    ['relay/relay.ts', '../log/log.ts'],
    ['stores/sqlite/store.ts', '../sql/tables.ts'],
    ['stores/sqlite/migrations/0001-first.sql.ts', '../dialect.ts'],
    ['stores/sqlite/store.ts', 'node:fs'],
    ['transports/rocketmq/index.ts', 'rocketmq-client-nodejs'],
    ['databases/sqlite.ts', '../stores/sqlite/store.ts'],
    ['databases/sqlite.ts', 'node:sqlite'],
    ['cli/main.ts', '../index.ts'],
    ['cli/main.ts', 'commander'],
    ['conformance/store.ts', 'node:assert/strict'],
    ['testing/index.ts', '../waybill.ts'],
    ['message-ids.ts', 'uuid'],
    ['waybill.ts', './stores/sqlite/store.ts'],
    ['core/message.test.ts', '../testing/index.ts'],
  ])('src/%s may import %s', (file, source) => {
    expect(rulesBroken(`src/${file}`, `import { a } from '${source}'\nexport const b = a`)).toEqual([])
  })

  it.each([
    `import type { A } from '../log/log.ts'`,
    `import '../log/log.ts'`,
    `export * from '../log/log.ts'`,
    `export type { A } from '../log/log.ts'`,
    `export const a = await import('../log/log.ts')`,
    `export type B = import('../log/log.ts').A`,
  ])('hold for every way to import: %s', (statement) => {
    expect(rulesBroken('src/core/message.ts', statement)).toEqual(['import'])
  })

  it('let a database handle be named by its types, or loaded when the user asks for it', () => {
    expect(rulesBroken('src/databases/drizzle.ts', `import type { A } from 'drizzle-orm'`)).toEqual([])
    expect(rulesBroken('src/databases/open.ts', `export const a = await import('libsql')`)).toEqual([])
    expect(rulesBroken('src/databases/drizzle.ts', `import { type A, b } from 'drizzle-orm'`)).toEqual([
      'import',
    ])
  })
})

describe('SQL', () => {
  it.each([
    "'select id from messages where id = ?'",
    "'SELECT 1'",
    '`insert into ${table} values (?)`',
    '`update ${table} set a = 1`',
    "'delete from messages'",
    "'create table if not exists a (b)'",
    "'BEGIN IMMEDIATE'",
    "'BEGIN'",
    "'pragma synchronous = full'",
    '`\n  select a,\n    b\n  from c\n`',
  ])('is found outside stores: %s', (literal) => {
    expect(rulesBroken('src/consume/consume.ts', `export const a = ${literal}`)).toEqual(['sql'])
    expect(rulesBroken('src/stores/sqlite/store.ts', `export const a = ${literal}`)).toEqual([])
    expect(rulesBroken('src/consume/consume.test.ts', `export const a = ${literal}`)).toEqual([])
  })

  it.each([
    "'commit'",
    "'rollback'",
    "'update'",
    "'Select the topic to read.'",
    "'an update of the cursor was refused'",
  ])('is not confused with English or with a decision: %s', (literal) => {
    expect(rulesBroken('src/consume/consume.ts', `export const a = ${literal}`)).toEqual([])
  })
})

describe('the clock', () => {
  it('is not read by a bare Date', () => {
    expect(rulesBroken('src/relay/relay.ts', 'export const a = new Date()')).toEqual(['clock'])
    expect(rulesBroken('src/relay/relay.ts', 'export const a = Date()')).toEqual(['clock'])
    expect(rulesBroken('src/relay/relay.ts', 'export const a = new Date(5)')).toEqual([])
    expect(rulesBroken('src/system.ts', 'export const a = new Date()')).toEqual([])
  })
})

describe('unfinished work', () => {
  it('is found in any file, with its line', () => {
    for (const word of ['todo'.toUpperCase(), 'fixme'.toUpperCase()]) {
      expect(checkFile('docs/guide.md', `one\n${word}: two`)).toMatchObject([{ rule: 'unfinished', line: 2 }])
    }
  })
})

describe('the rules that oxlint enforces', () => {
  const lines = (count: number, line: string) => Array.from({ length: count }, () => line).join('\n')
  const planted: Record<string, { readonly text: string; readonly rule: string }> = {
    'relay/date-now.ts': { text: 'export const a = Date.now()', rule: 'no-restricted-properties' },
    'relay/math-random.ts': { text: 'export const a = Math.random()', rule: 'no-restricted-properties' },
    'relay/global-timer.ts': { text: 'globalThis.setTimeout(() => {}, 1)', rule: 'no-restricted-properties' },
    'relay/set-timeout.ts': { text: 'setTimeout(() => {}, 1)', rule: 'no-restricted-globals' },
    'relay/set-interval.ts': { text: 'setInterval(() => {}, 1)', rule: 'no-restricted-globals' },
    'relay/set-immediate.ts': { text: 'setImmediate(() => {})', rule: 'no-restricted-globals' },
    'relay/performance.ts': { text: 'export const a = performance.now()', rule: 'no-restricted-globals' },
    'relay/random-uuid.ts': { text: 'export const a = crypto.randomUUID()', rule: 'no-restricted-globals' },
    'stores/sqlite/timers.ts': {
      text: `import { setTimeout as wait } from 'node:timers/promises'\nexport const a = wait`,
      rule: 'no-restricted-imports',
    },
    'stores/sqlite/uuid.ts': {
      text: `import { randomUUID } from 'node:crypto'\nexport const a = randomUUID`,
      rule: 'no-restricted-imports',
    },
    'core/cycle-a.ts': {
      text: `import { b } from './cycle-b.ts'\nexport const a = () => b`,
      rule: 'no-cycle',
    },
    'core/cycle-b.ts': {
      text: `import { a } from './cycle-a.ts'\nexport const b = () => a`,
      rule: 'no-cycle',
    },
    'core/type-cycle-a.ts': {
      text: `import type { B } from './type-cycle-b.ts'\nexport type A = B[]`,
      rule: 'no-cycle',
    },
    'core/type-cycle-b.ts': {
      text: `import type { A } from './type-cycle-a.ts'\nexport type B = A[]`,
      rule: 'no-cycle',
    },
    'core/long-file.ts': { text: lines(501, 'export {}'), rule: 'max-lines' },
    'core/long-function.ts': {
      text: `export function a() {\n${lines(70, '  void 0')}\n}`,
      rule: 'max-lines-per-function',
    },
  }
  const allowed: Record<string, string> = {
    'system.ts': 'export const now = () => Date.now()\nexport const id = () => crypto.randomUUID()',
    'relay/relay.test.ts': 'export const a = Math.random()\nsetTimeout(() => {}, 1)',
    'conformance/store.ts': 'export const a = () => setImmediate(() => {})',
    'core/hash.ts': 'export const a = new Date(5)',
  }
  let root: string
  const found = new Map<string, string[]>()

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'waybill-lint-'))
    await copyFile('.oxlintrc.json', join(root, '.oxlintrc.json'))
    const files = {
      ...allowed,
      ...Object.fromEntries(Object.entries(planted).map(([file, { text }]) => [file, text])),
    }
    for (const [file, text] of Object.entries(files)) {
      const path = join(root, 'src', file)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, `${text}\n`)
    }
    const lint = promisify(execFile)(
      process.execPath,
      [resolve('node_modules/oxlint/bin/oxlint'), '-f', 'json', 'src'],
      { cwd: root },
    )
    const output = await lint.then(
      (clean) => clean.stdout,
      (failed: { stdout: string }) => failed.stdout,
    )
    const { diagnostics } = JSON.parse(output) as { diagnostics: { filename: string; code: string }[] }
    for (const { filename, code } of diagnostics) {
      const file = filename.replace(/^src\//, '')
      found.set(file, [...(found.get(file) ?? []), code])
    }
  })
  afterAll(() => rm(root, { recursive: true, force: true }))

  it.each(Object.entries(planted))('find what is planted in src/%s', (file, { rule }) => {
    expect(found.get(file)?.join(' ')).toContain(`(${rule})`)
  })

  it.each(Object.keys(allowed))('leave src/%s alone', (file) => {
    expect(found.get(file) ?? []).toEqual([])
  })
})
