import type { Database } from '@earshot/shared/db/database'
import { archiveJobs } from '@earshot/shared/db/functions/leadership'
import type { Log } from '@earshot/shared/log'
import { type Loop, createLoop } from '@earshot/shared/loop'

const EVERY_MS = 60_000
/** As many as one call moves; a full batch means that more wait. */
const BATCH = 1000

/**
 * Moves, once a minute while this coordinator leads, jobs that ended long enough ago out of the hot table: how long they stay is
 * in earshot.settings. Readers see both through earshot.all_jobs.
 */
export function createArchive(options: { db: Database; term: () => string | null; log: Log }): Loop {
  const { db, term, log } = options
  let moved = 0

  async function work(): Promise<void> {
    const current = term()
    if (current === null) return
    const count = await archiveJobs(db.pool, current)
    moved += count
    // One batch a turn, so that a stop never waits for a long one.
    if (count === BATCH) return loop.kick()
    if (moved > 0) log.info({ jobs: moved }, 'Jobs that ended long ago were archived')
    moved = 0
  }
  const loop = createLoop({ everyMs: EVERY_MS, work, log })
  return loop
}
