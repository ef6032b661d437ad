import type { Database } from '@earshot/db/database'
import { type Swept, sweep } from '@earshot/db/functions/leadership'
import { cancelUnawaitedJobs } from '@earshot/db/functions/waiters'
import type { Log } from '@earshot/shared/log'
import { type Loop, createLoop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/db/monotonic'
import type { Leadership } from './election.ts'

/** A lost lease is noticed at most this much later. */
const EVERY_MS = 1000
/** As many jobs as one sweep ends at their deadline; when it ended so many, more wait. */
const MOST_OVERDUE = 500
/**
 * Coordinators say every few seconds that they still wait, and 20 s of silence count: this is soon
 * enough.
 */
const UNAWAITED_MS = 5000

/**
 * Does, once a second while this coordinator leads, what time brings about: expired leases, due
 * jobs, deadlines. Between two sweeps a timer wakes it for the next job that comes due.
 */
export function createSweep(options: {
  db: Database
  leadership: Pick<Leadership, 'term' | 'judgesLeasesAt'>
  onSwept?: (swept: Swept) => void
  log: Log
}): Loop {
  const { db, leadership, onSwept, log } = options
  let due: NodeJS.Timeout | undefined
  let lookedForUnawaited = -Infinity

  async function work(): Promise<void> {
    const current = leadership.term()
    if (current === null) return
    // The embedded database stops together with its worker: there is no lease to lose, and a laptop
    // may sleep.
    const swept = await sweep(db.pool, current, !db.embedded && leadership.judgesLeasesAt)
    if (swept === undefined) return
    // Coordinators could not say either, during an outage, that they still wait.
    if (db.embedded || leadership.judgesLeasesAt() !== null) await endUnawaited(current)
    report(swept, current, log)
    onSwept?.(swept)
    clearTimeout(due)
    if (swept.overdue >= MOST_OVERDUE) return loop.kick()
    if (swept.next_due_s !== null && swept.next_due_s * 1000 < EVERY_MS) {
      due = setTimeout(() => loop.kick(), Math.max(0, swept.next_due_s * 1000))
    }
  }

  async function endUnawaited(term: string): Promise<void> {
    if (monotonicMs() - lookedForUnawaited < UNAWAITED_MS) return
    lookedForUnawaited = monotonicMs()
    const jobs = await cancelUnawaitedJobs(db.pool, term)
    if (jobs.length > 0)
      log.info({ term, jobs }, 'Jobs were cancelled for whose answer nobody waits any more')
  }
  const loop = createLoop({ everyMs: EVERY_MS, work, log })
  return {
    ...loop,
    stop: () => {
      clearTimeout(due)
      return loop.stop()
    },
  }
}

function report(swept: Swept, term: string, log: Log): void {
  if (swept.requeued > 0)
    log.warn({ term, jobs: swept.requeued }, 'Jobs whose node is gone went back')
  if (swept.overdue > 0)
    log.warn({ term, jobs: swept.overdue }, 'Jobs were not done by their deadline')
}
