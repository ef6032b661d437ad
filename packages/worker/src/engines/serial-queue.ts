/** Waiting gives a sign of life so often. */
const SIGN_MS = 10_000

/**
 * One at a time, in the order they came.
 *
 * @example
 * const serialQueue = createSerialQueue()
 * await serialQueue.take(signal, () => progress(0), () => transcribe(recording))
 */
export function createSerialQueue(): {
  take<T>(signal: AbortSignal, stillWaiting: () => void, work: () => Promise<T>): Promise<T>
} {
  let last: Promise<unknown> = Promise.resolve()
  return {
    async take(signal, stillWaiting, work) {
      const before = last
      const mine = Promise.withResolvers<void>()
      last = before.then(() => mine.promise)
      const sign = setInterval(stillWaiting, SIGN_MS)
      const aborted = Promise.withResolvers<never>()
      aborted.promise.catch(() => {})
      const onAbort = () => aborted.reject(signal.reason)
      signal.addEventListener('abort', onAbort)
      try {
        signal.throwIfAborted()
        await Promise.race([before, aborted.promise])
        clearInterval(sign)
        return await work()
      } finally {
        clearInterval(sign)
        signal.removeEventListener('abort', onAbort)
        mine.resolve()
      }
    },
  }
}
