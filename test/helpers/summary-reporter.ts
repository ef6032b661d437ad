import type { Reporter, TestModule } from 'vitest/node'

/**
 * Ends the output with one plain line, `N passed, N failed, N skipped`, for anyone who reads it by
 * program.
 */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[], reason: string): void {
    const count = { passed: 0, failed: errors.length, skipped: 0 }
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        // A test that never came to run, because the run was cut off, did not pass.
        count[state === 'pending' ? 'failed' : state] += 1
      }
      // A file that could not be loaded, or a suite whose hooks failed, has no test that says so.
      count.failed += [module, ...module.children.allSuites()].filter(
        (suite) => suite.errors().length > 0,
      ).length
    }
    if (reason !== 'passed' && count.failed === 0) count.failed = 1
    console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
  }
}
