import { releaseServices, runVariable } from './shared.ts'

/**
 * For `globalSetup` of vitest: starts nothing, since most runs need no server, and ends the run's use of the servers that its
 * tests started. Another run, or somebody's `npm run services -- start`, keeps them.
 */
export default function setup(): () => Promise<void> {
  const run = `${process.pid}`
  // The workers inherit it.
  process.env[runVariable] = run
  return () => releaseServices(run)
}
