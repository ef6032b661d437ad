import type { Database } from '@earshot/db/database'
import { meshId } from '@earshot/db/functions/nodes'
import type { Log } from '../log.ts'
import type { QueueWakes } from './bullmq.ts'
import type { RedisLink } from './redis.ts'

/** What goes through Redis: wake-ups by BullMQ, fleeting messages by publishing. */
export type Transport = { redis: RedisLink; wakes: QueueWakes }

/**
 * Opens what REDIS_URL names; undefined without one, and on the embedded database, whose one
 * process needs none. A Redis that is away does no harm: it is used once it is there.
 */
export async function openTransport({
  db,
  url,
  log,
}: {
  db: Database
  url: string | null
  log: Log
}): Promise<Transport | undefined> {
  if (url === null || db.embedded) return undefined
  // Loaded here and not above: who has no Redis need not wait for its client.
  const [{ openRedis }, { createQueueWakes }, mesh] = await Promise.all([
    import('./redis.ts'),
    import('./bullmq.ts'),
    meshId(db.pool),
  ])
  const redis = await openRedis({ url, mesh, log })
  return { redis, wakes: createQueueWakes(redis) }
}
