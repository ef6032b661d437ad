import { now } from './contender.ts'

/** What a worker process sends to the bench. */
export type Told = { ready: true } | { count: number; delays: number[] }

const EVERY_MS = 10

/**
 * Counts, in a worker process, what its handler saw, and tells the bench every few milliseconds.
 */
export function createTally(): { ran(payload: unknown): void; ready(): void } {
  let count = 0
  let delays: number[] = []
  let timer: NodeJS.Timeout | undefined
  function tell(): void {
    process.send!({ count, delays } satisfies Told)
    timer = undefined
    count = 0
    delays = []
  }
  return {
    ran(payload) {
      // No timer that always runs: a process that idles is measured, too.
      timer ??= setTimeout(tell, EVERY_MS)
      count += 1
      const { t } = payload as { t?: number }
      if (t !== undefined) delays.push(now() - t)
    },
    ready: () => void process.send!({ ready: true } satisfies Told),
  }
}
