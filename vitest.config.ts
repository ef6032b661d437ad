import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['packages/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/helpers/postgres.ts'],
    reporters: ['default', './test/helpers/summary-reporter.ts'],
    // Most of a test's time is waiting for real processes: one worker a core, not the default of one core fewer.
    maxWorkers: '100%',
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
})
