import { EarshotError } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import type pg from 'pg'

/** Connections that requests leave to routing, sweeps and the health. */
const RESERVED = 2

/**
 * The same database for requests: only so many of their queries run at once, the others queue here,
 * and what does not get its turn in time is told to come again. So requests never take the
 * connections that the mesh itself needs.
 *
 * @param limits.waiting how many may queue; 2,000 unless given
 * @param limits.waitMs how long one may queue; 10 s unless given
 */
export function gateDatabase(
  db: Database,
  {
    atOnce = Math.max(1, db.pool.options.max - RESERVED),
    waiting = 2_000,
    waitMs = 10_000,
  }: { atOnce?: number; waiting?: number; waitMs?: number } = {},
): Database {
  const queue = new Set<() => void>()
  let running = 0

  async function enter(): Promise<void> {
    if (running < atOnce) return void running++
    if (queue.size >= waiting) throw busy()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      queue.delete(resolve)
      reject(busy())
    }, waitMs)
    queue.add(resolve)
    await promise
    clearTimeout(timer)
  }

  /** The place goes to the next one as it is. */
  function leave(): void {
    const [next] = queue
    if (next === undefined) return void running--
    queue.delete(next)
    next()
  }

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    await enter()
    try {
      return await work()
    } finally {
      leave()
    }
  }

  const query = (...args: unknown[]): Promise<unknown> =>
    inTurn(() => (db.pool.query as (...args: unknown[]) => Promise<unknown>).apply(db.pool, args))
  return {
    ...db,
    pool: Object.create(db.pool, { query: { value: query } }) as pg.Pool,
    transaction: (work) => inTurn(() => db.transaction(work)),
  }
}

const busy = (): EarshotError =>
  new EarshotError('EARSHOT_BUSY', 'More requests wait than this coordinator can answer now.', {
    hint: 'Ask again in a moment; the header Retry-After says when.',
  })
