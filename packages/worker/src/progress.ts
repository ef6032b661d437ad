import type { Database } from '@earshot/db/database'
import { listCoordinators } from '@earshot/db/functions/documents'
import type { Log } from '@earshot/shared/log'
import { type Loop, createLoop } from '@earshot/shared/loop'
import type { RedisLink } from '@earshot/shared/transport/redis'

const EVERY_MS = 500

export type Progress = Loop & {
  /** Notes how far a job is, 0 to 1; sent with others, never through the database. */
  note(job: number, fraction: number): void
}

/**
 * Tells the coordinators twice a second how far the jobs in hand are: through Redis where one hears
 * it there, else over HTTP. What is lost is not sent again.
 */
export function createProgress(options: {
  db: Database
  key: string | null
  node: () => { id: string; incarnation: number }
  redis: () => RedisLink | undefined
  log: Log
}): Progress {
  const { db, key, node, redis, log } = options
  let noted = new Map<number, number>()

  async function send(): Promise<void> {
    if (noted.size === 0) return
    const jobs = [...noted].map(([id, fraction]) => ({ id, fraction }))
    noted = new Map()
    const body = JSON.stringify({ node: node().id, incarnation: node().incarnation, jobs })
    if (await published(redis(), body)) return
    const headers = {
      'content-type': 'application/json',
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    }
    for (const { url, seen_s } of await listCoordinators(db.pool)) {
      if (seen_s > 30) continue
      await fetch(`${url}/v1/progress`, {
        method: 'POST',
        headers,
        body,
        signal: AbortSignal.timeout(5000),
      }).then(
        (answer) => answer.body?.cancel(),
        (err: unknown) => log.debug({ err, url }, 'Progress could not be sent'),
      )
    }
  }
  const loop = createLoop({ everyMs: EVERY_MS, work: send, log })
  return {
    ...loop,
    note: (job, fraction) => void noted.set(job, Math.min(1, Math.max(0, fraction))),
  }
}

/**
 * Whether someone heard it through Redis. (In a cluster those are counted that listen at the same
 * node of it: then it goes over HTTP too.)
 */
async function published(redis: RedisLink | undefined, body: string): Promise<boolean> {
  if (!redis?.up) return false
  return redis.publish('progress', body).then(
    (listeners) => listeners > 0,
    () => false,
  )
}
