import type { Database } from '@earshot/db/database'
import {
  type Retention,
  archiveJobs,
  forgetNodes,
  renumberEvents,
  pruneArchive,
  pruneContent,
  pruneEvents,
  setRetention,
} from '@earshot/db/functions/retention'
import type { Log } from '@earshot/shared/log'
import { type Loop, createLoop } from '@earshot/shared/loop'

const EVERY_MS = 60_000
/** As many as one call moves or deletes; a full batch means that more wait. */
const BATCH = 1000

/**
 * While this coordinator leads, once a minute: moves jobs that ended long enough ago out of the hot
 * table (readers see both through earshot.all_jobs), deletes old events and forgets nodes that
 * never came back. How long things stay is in earshot.settings, into which a new leader writes what
 * its own settings say. A new leader also mends the events of a restored database.
 */
export function createRetention(options: {
  db: Database
  term: () => string | null
  retention: Retention
  log: Log
}): Loop {
  const { db, term, retention, log } = options
  let begun: string | undefined
  let moved = 0
  let pruned = 0
  let forgotten = 0
  let removed = 0

  async function work(): Promise<void> {
    const current = term()
    if (current === null) return
    if (begun !== current) await begin(current)
    const jobs = await archiveJobs(db.pool, current)
    const archived = await pruneArchive(db.pool, current)
    const events = await pruneEvents(db.pool, current)
    const content = await pruneContent(db.pool, current)
    moved += jobs
    pruned += events
    forgotten += archived
    removed += content
    // One batch a turn, so that a stop never waits for a long one.
    if ([jobs, archived, events, content].includes(BATCH)) return loop.kick()
    const nodes = await forgetNodes(db.pool, current)
    if (moved + pruned + forgotten + removed > 0)
      log.info(
        { term: current, jobs: moved, deleted: forgotten, events: pruned, content: removed },
        'Jobs that ended long ago were archived; what is kept no longer was deleted',
      )
    if (nodes.length > 0)
      log.info({ term: current, nodes }, 'Nodes that were offline for too long were forgotten')
    moved = 0
    pruned = 0
    forgotten = 0
    removed = 0
  }

  async function begin(current: string): Promise<void> {
    await setRetention(db.pool, current, retention)
    let upto = await renumberEvents(db.pool, current, null)
    while (upto !== null) upto = await renumberEvents(db.pool, current, upto)
    begun = current
  }
  const loop = createLoop({ everyMs: EVERY_MS, work, log })
  return loop
}
