/**
 * Resolves after `ms` milliseconds; rejects with the signal's reason when aborted before.
 *
 * @example
 * await pause(250, AbortSignal.timeout(100)) // rejects with a TimeoutError after 100 ms
 */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/**
 * Waiting times between attempts: 100 ms, doubling to 5 s, each between half and whole so that
 * clients spread.
 */
export function backoff(attempt: number): number {
  return Math.min(5_000, 100 * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2)
}
