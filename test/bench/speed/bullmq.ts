import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { type Contender, createRan } from './contender.ts'
import { WORKERS, noop } from './kind.ts'
import { startChild } from './processes.ts'

/** So many jobs in one round trip; more at once makes Redis' own replies slow. */
const BULK = 1000
const OPTIONS = { removeOnComplete: true, removeOnFail: true }

/**
 * BullMQ with two worker processes, on a Redis that writes nothing to disk: its fastest, and not
 * durable.
 */
export async function startBullmq(url: string): Promise<Contender> {
  const connection = new Redis(url, { maxRetriesPerRequest: null })
  const queue = new Queue(noop.kind, { connection })
  const ran = createRan()
  const children = await Promise.all(
    Array.from({ length: WORKERS }, () => startChild('bullmq-worker.ts', { REDIS_URL: url }, ran)),
  )
  return {
    name: 'BullMQ',
    ran,
    pids: children.map(({ pid }) => pid),
    async addMany(count) {
      // Enqueued behind a pause, as the others' jobs are seen at their commit: all at once.
      await queue.pause()
      for (let from = 0; from < count; from += BULK) {
        await queue.addBulk(
          Array.from({ length: Math.min(BULK, count - from) }, () => ({
            name: 'noop',
            data: {},
            opts: OPTIONS,
          })),
        )
      }
      await queue.resume()
    },
    async connect() {
      const own = new Redis(url, { maxRetriesPerRequest: null })
      const adding = new Queue(noop.kind, { connection: own })
      return {
        add: async (payload) => void (await adding.add('noop', payload, OPTIONS)),
        async close() {
          await adding.close()
          own.disconnect()
        },
      }
    },
    async isOpen() {
      const { wait = 0, active = 0 } = await queue.getJobCounts('wait', 'active')
      return wait + active > 0
    },
    async stop() {
      for (const child of children) await child.stop()
      await queue.close()
      connection.disconnect()
    },
  }
}
