import { existsSync, statfsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Unit tests sync files by the thousand: in memory where there is room, so that a slow disk does not decide how long they take. */
const memory = '/dev/shm'
const memoryNeeded = 2 * 1024 ** 3
const inMemory = existsSync(memory) && freeBytes(memory) > memoryNeeded ? { TMPDIR: memory } : {}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

/** Most of a test's time is waiting, for processes and disks: one core can take more than one file at a time. */
const filesAtOnce = Math.max(3, availableParallelism())

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    // Exact names only: a prefix match would turn 'waybill/sqlite' into 'src/index.ts/sqlite'.
    alias: [
      { find: /^waybill$/, replacement: source('index.ts') },
      {
        find: /^waybill\/(sqlite|libsql|better-sqlite3|pg|mysql2|postgres-js|drizzle|kysely|knex|typeorm|mikro-orm|prisma)$/,
        replacement: source('databases/$1.ts'),
      },
      { find: /^waybill\/database$/, replacement: source('transports/database/index.ts') },
      { find: /^waybill\/(testing|conformance)$/, replacement: source('$1/index.ts') },
    ],
  },
  test: {
    environment: 'node',
    maxWorkers: filesAtOnce,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          env: inMemory,
          include: ['**/*.test.ts'],
          exclude: ['**/node_modules/**', 'dist/**', '**/*.int.test.ts', '**/*.types.test.ts'],
          // Generous, for machines that are busy with other things: no test waits by the clock.
          testTimeout: 90_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'int',
          globalSetup: ['./scripts/services/vitest-setup.ts'],
          include: ['**/*.int.test.ts'],
          exclude: ['**/node_modules/**', 'dist/**'],
          testTimeout: 240_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
