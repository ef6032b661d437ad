/**
 * Milliseconds on this machine's monotonic clock, the same in all threads of a process
 * (`performance.now()` starts again in each). Never compared with another machine's clock.
 *
 * @example
 * const until = monotonicMs() + 15_000
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}
