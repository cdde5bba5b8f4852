import { readFileSync } from 'node:fs'

const project = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  readonly devDependencies: Readonly<Record<string, string>>
}

/** The exact version that is installed for the benches. */
export function versionOf(dependency: 'pg-boss' | 'graphile-worker'): string {
  return project.devDependencies[dependency]!
}
