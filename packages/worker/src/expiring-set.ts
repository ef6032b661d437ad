import { monotonicMs } from '@earshot/db/monotonic'

/** A set that forgets what was added longer ago. */
export type ExpiringSet<T> = {
  add(one: T): void
  has(one: T): boolean
  /** Forgets nothing while this work runs. */
  during<R>(work: () => Promise<R>): Promise<R>
}

/**
 * Remembers each for at least `ms` milliseconds and about twice that, in two sets that take turns:
 * no timer, and nothing to tidy one by one.
 *
 * @param clock milliseconds that only grow
 * @example
 * const ended = createRecent<string>(2000)
 * ended.add('a')
 * ended.has('a') // true, for two seconds at least
 */
export function createExpiringSet<T>(
  ms: number,
  clock: () => number = monotonicMs,
): ExpiringSet<T> {
  let latest = new Set<T>()
  let before = new Set<T>()
  let since = clock()
  let lastAdded = -Infinity
  let holding = 0

  function turn(): void {
    if (holding > 0 || clock() - since < ms) return
    before = clock() - lastAdded < ms ? latest : new Set()
    latest = new Set()
    since = clock()
  }

  return {
    add(one) {
      turn()
      latest.add(one)
      lastAdded = clock()
    },
    has: (one) => latest.has(one) || before.has(one),
    async during(work) {
      holding += 1
      try {
        return await work()
      } finally {
        holding -= 1
        // Here too: it may be that all is added while such work runs.
        turn()
      }
    },
  }
}
