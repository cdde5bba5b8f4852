/**
 * The rules of the house that oxlint cannot state: which part of src/ may import which, where SQL may stand, no clock
 * by `new Date()`, no unfinished-work marks. Without this check they would be kept by memory, that is, until the first hurry.
 * oxlint has the rest (.oxlintrc.json): import circles, timers and random functions, sizes.
 *
 * Imports are read from the syntax tree and resolved to files, so a rule holds at every folder depth and for
 * `import type`, `export from`, `import()` and `import('…').Type` alike.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { parseSync } from 'oxc-parser'

export interface Finding {
  readonly file: string
  readonly line: number
  readonly rule: 'import' | 'sql' | 'clock' | 'unfinished' | 'syntax'
  readonly message: string
}

interface Part {
  /** The files that are this part, relative to src/. A capture group names the member: stores/(sqlite)/. */
  readonly files: RegExp
  /** Paths in src/ that it may import; its own folder is always allowed. `$1` is the member. */
  readonly may: readonly string[]
  readonly node?: boolean
  /** Packages that it may load at run time; `*` is any. */
  readonly packages?: readonly string[]
  /** Optional peers: named by `import type`, or loaded by `import()` when the user asks for them. */
  readonly peers?: boolean
}

const ANYTHING = ['']

/** Read top down; the first match counts. A file that matches none is a finding: name its part here first. */
const PARTS: readonly Part[] = [
  { files: /^core\//, may: [] },
  { files: /^(?:publish|log|recover|trace|observe)\//, may: ['core/'] },
  { files: /^(?:relay|land|consume)\//, may: ['core/', 'log/'] },
  { files: /^stores\/sql\//, may: ['core/', 'body-digest.ts'] },
  { files: /^stores\/([^/]+)\//, may: ['core/', 'stores/sql/', 'body-digest.ts'], node: true },
  { files: /^transports\/([^/]+)\//, may: ['core/'], node: true, packages: ['*'], peers: true },
  { files: /^databases\//, may: ['core/', 'stores/'], node: true, peers: true },
  { files: /^cli\//, may: ['index.ts', 'databases/'], node: true, packages: ['commander'] },
  { files: /^console\//, may: ['index.ts', 'databases/open.ts'], node: true },
  { files: /^nestjs\//, may: ['index.ts', 'databases/open.ts'], node: true, peers: true },
  { files: /^conformance\//, may: ['core/'], node: true },
  { files: /^testing\//, may: ANYTHING, node: true, packages: ['*'] },
  { files: /^body-digest\.ts$/, may: [], node: true },
  { files: /^message-ids\.ts$/, may: [], packages: ['uuid'] },
  { files: /^system\.ts$/, may: ['core/', 'body-digest.ts', 'message-ids.ts'], node: true },
  { files: /^options\.ts$/, may: ['core/', 'publish/'] },
  { files: /^index\.ts$/, may: ANYTHING },
  { files: /^waybill\.ts$/, may: ANYTHING, node: true },
]

/** Statements, not words: "update" and "select" alone are also English. */
const SQL = [
  /\bselect\s[^;]*\sfrom\s|\binsert\s+(?:or\s+\w+\s+)?into\s|\breplace\s+into\s|\bdelete\s+from\s|\bupdate\s+\S+\s+set\s/i,
  /\b(?:create|drop|alter)\s+(?:(?:unique|temp|virtual)\s+)?(?:table|index|view|trigger|schema)\s/i,
  /\bbegin\s+(?:immediate|exclusive|deferred|transaction)\b/i,
  /^\s*(?:select|SELECT|pragma|PRAGMA|savepoint|SAVEPOINT|notify|NOTIFY)\s+\S/,
  /^\s*(?:begin|BEGIN|COMMIT|ROLLBACK)\s*;?\s*$/,
]

/** In brackets, so that this file does not find itself. */
const UNFINISHED = /\b(?:TOD[O]|FIXM[E])\b/

interface Node {
  readonly type: string
  readonly start: number
  readonly [field: string]: unknown
}

/** Every finding in one file; `file` is relative to the project's root. */
export function checkFile(file: string, text: string): Finding[] {
  const findings = checkWords(file, text)
  if (!file.startsWith('src/') || !file.endsWith('.ts') || /\.(?:test|fixture)\.ts$/.test(file))
    return findings

  const lineOf = (offset: number) => text.slice(0, offset).split('\n').length
  const { program, errors } = parseSync(file, text)
  for (const error of errors) findings.push({ file, line: 1, rule: 'syntax', message: error.message })

  const path = file.slice('src/'.length)
  const part = PARTS.find((candidate) => candidate.files.test(path))
  if (part === undefined) {
    const message = `${path} belongs to no part of src/; name it in scripts/check-architecture.ts`
    return [...findings, { file, line: 1, rule: 'import', message }]
  }

  visit(program as unknown as Node, (node) => {
    const line = lineOf(node.start)
    const wrongImport = checkImport(path, part, node)
    if (wrongImport !== undefined) findings.push({ file, line, rule: 'import', message: wrongImport })
    if (isSql(node) && !/^(?:stores|conformance)\//.test(path)) {
      findings.push({ file, line, rule: 'sql', message: 'SQL stands only in src/stores/' })
    }
    if (readsTheClock(node) && !/^(?:system\.ts$|conformance\/)/.test(path)) {
      findings.push({
        file,
        line,
        rule: 'clock',
        message: 'Time comes from the clock port, not from a bare Date',
      })
    }
  })
  return findings
}

function checkWords(file: string, text: string): Finding[] {
  return text.split('\n').flatMap((content, index): Finding[] => {
    const found = UNFINISHED.exec(content)
    if (found === null) return []
    return [
      { file, line: index + 1, rule: 'unfinished', message: `${found[0]}: do it now, or file it elsewhere` },
    ]
  })
}

function checkImport(path: string, part: Part, node: Node): string | undefined {
  const source = (node['source'] as Node | null | undefined)?.['value']
  if (typeof source !== 'string') return undefined
  const from = path.replace(/\/.*$/, '')

  if (source.startsWith('.')) {
    const target = posix.join(posix.dirname(path), source)
    if (target.startsWith('..')) return `${source} leaves src/`
    const own = part.files.exec(target)?.[0]
    if (own !== undefined && own === part.files.exec(path)?.[0]) return undefined
    return part.may.some((allowed) => target.startsWith(allowed))
      ? undefined
      : `${from} may not import ${target}`
  }
  if (source.startsWith('node:')) {
    return part.node === true
      ? undefined
      : `${from} may not import ${source}: what touches the machine is behind a port`
  }
  if (/^waybill(?:\/|$)/.test(source)) return `src/ imports itself by relative path, not as ${source}`
  const name = source.split('/', source.startsWith('@') ? 2 : 1).join('/')
  const typesOnly = isTypeOnly(node)
  if (part.packages?.some((allowed) => allowed === '*' || allowed === name) === true) return undefined
  if (part.peers === true && (typesOnly || node.type === 'ImportExpression')) return undefined
  return `${from} may not import the package ${name}`
}

function isTypeOnly(node: Node): boolean {
  if (node.type === 'TSImportType' || node['importKind'] === 'type' || node['exportKind'] === 'type')
    return true
  const specifiers = (node['specifiers'] as readonly Node[] | undefined) ?? []
  return (
    specifiers.length > 0 && specifiers.every((one) => (one['importKind'] ?? one['exportKind']) === 'type')
  )
}

function isSql(node: Node): boolean {
  const text = literalText(node)
  return text !== undefined && SQL.some((pattern) => pattern.test(text))
}

function literalText(node: Node): string | undefined {
  if (node.type === 'Literal' && typeof node['value'] === 'string') return node['value']
  if (node.type !== 'TemplateLiteral') return undefined
  const quasis = node['quasis'] as readonly { readonly value: { readonly raw: string } }[]
  // A placeholder may be the table's name, so it reads as a word.
  return quasis.map((quasi) => quasi.value.raw).join('x')
}

function readsTheClock(node: Node): boolean {
  if (node.type !== 'NewExpression' && node.type !== 'CallExpression') return false
  const callee = node['callee'] as Node
  if (callee.type !== 'Identifier' || callee['name'] !== 'Date') return false
  // `new Date(ms)` converts; `new Date()` and `Date()` read the clock.
  return node.type === 'CallExpression' || (node['arguments'] as readonly Node[]).length === 0
}

function visit(node: Node, see: (node: Node) => void): void {
  see(node)
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child === 'object' && child !== null && typeof child.type === 'string')
        visit(child as Node, see)
    }
  }
}

function projectFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    encoding: 'utf8',
  })
  return listed
    .split('\0')
    .filter((file) => /\.(?:ts|mts|js|mjs|json|md|sql|sh|ya?ml)$/.test(file) && existsSync(file))
}

function main(): void {
  const files = projectFiles().filter((file) => file !== 'package-lock.json')
  const findings = files.flatMap((file) => checkFile(file, readFileSync(file, 'utf8')))
  for (const { file, line, rule, message } of findings) console.error(`${file}:${line} [${rule}] ${message}`)
  console.log(`architecture: ${files.length} files, ${findings.length} findings`)
  process.exitCode = findings.length === 0 ? 0 : 1
}

if (import.meta.main) main()
