/**
 * Packs the package as a user would get it and asks two judges about the tarball: publint (do the files that
 * package.json names exist, is it ESM as said) and attw (do the types resolve). `npm pack` builds first (`prepack`).
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const unwritten = entrySources().filter((source) => !existsSync(source))
if (unwritten.length > 0 && process.env['CI'] === undefined) {
  // Work in progress on a developer's machine; CI lets nothing incomplete pass.
  console.log(`package: NOT CHECKED, these entries are not written yet: ${unwritten.join(', ')}`)
  process.exit(0)
}

const folder = mkdtempSync(join(tmpdir(), 'waybill-pack-'))
try {
  run('npm', ['pack', '--silent', '--pack-destination', folder])
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack made no tarball')
  run('publint', ['--strict', join(folder, tarball)])
  run('attw', ['--profile', 'esm-only', '--format', 'ascii', join(folder, tarball)])
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** The sources behind `exports` and `bin`. */
function entrySources(): string[] {
  const { exports, bin } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    exports: Record<string, string | { default: string }>
    bin: Record<string, string>
  }
  const built = [
    ...Object.values(exports).map((entry) => (typeof entry === 'string' ? entry : entry.default)),
    ...Object.values(bin),
  ]
  return built
    .filter((path) => path.endsWith('.js'))
    .map((path) => path.replace(/^(?:\.\/)?dist\//, 'src/').replace(/\.js$/, '.ts'))
}

/** Prints what the tool said only if it failed: a green check is one line. */
function run(command: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (error !== undefined) throw error
  if (status === 0) return
  console.error(stdout, stderr)
  throw new Error(`${command} ${args.join(' ')} exited with ${status}`)
}

console.log('package: packs, publint and attw agree')
