import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    // Exact names only: a prefix match would turn 'waybill/sqlite' into 'src/index.ts/sqlite'.
    alias: [
      { find: /^waybill$/, replacement: source('index.ts') },
      { find: /^waybill\/(sqlite|libsql|better-sqlite3)$/, replacement: source('databases/$1.ts') },
      { find: /^waybill\/database$/, replacement: source('transports/database/index.ts') },
      { find: /^waybill\/(testing|conformance)$/, replacement: source('$1/index.ts') },
    ],
  },
  test: {
    environment: 'node',
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: ['**/node_modules/**', 'dist/**', '**/*.int.test.ts', '**/*.types.test.ts'],
          // Generous, for machines that are busy with other things: no test waits by the clock.
          testTimeout: 30_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'int',
          include: ['**/*.int.test.ts'],
          exclude: ['**/node_modules/**', 'dist/**'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
