import { createHash } from 'node:crypto'
import { Queue, Worker } from 'bullmq'
import { type GivenToNode, givenToNode } from '@earshot/db/functions/jobs'
import type { RedisLink } from './redis.ts'
import type { Hearing, Hint, OnHint, Wake, Wakes } from './wakes.ts'

type Message = { hint: Hint; given?: GivenToNode }

/** A message is gone when it was taken; of what is not, nothing is kept either. */
const MESSAGE = { removeOnComplete: true, removeOnFail: true, attempts: 1 } as const
/** BullMQ keeps a stream of what became of messages, which no one reads. */
const STREAMS = { events: { maxLen: 0 } }

const RETRY_MS = 500
const LEADS_MS = 3000

export type QueueWakes = Wakes & {
  /**
   * Removes the queues of all others than these, which are asked for once it is known what there
   * is; answers how many.
   */
  clean(living: () => Promise<{ id: string; incarnation: number }[]>): Promise<number>
  /** The leader says that it sends this way; it has to say so again within 3 s. */
  lead(): Promise<void>
  /** Whether a leader sends this way. */
  isLed(): Promise<boolean>
}

/**
 * The name of the queue of one incarnation of a node; an id may hold anything, so its hash stands
 * for it.
 */
function queueName(node: string, incarnation: number): string {
  return `${createHash('sha256').update(node).digest('hex').slice(0, 16)}_${incarnation}`
}

/**
 * By BullMQ: a queue for each incarnation of a node, a BullMQ job for what one statement gave it,
 * acknowledged as soon as it is received. Queues stand in a set, by which the leader finds those of
 * the dead.
 */
export function createQueueWakes(redis: RedisLink): QueueWakes {
  const queues = new Map<string, Queue<Message>>()
  const known = `${redis.prefix}:queues`
  const leader = `${redis.prefix}:leader`

  function queueOf(name: string): Queue<Message> {
    const found =
      queues.get(name) ??
      new Queue<Message>(name, {
        connection: redis.client,
        prefix: redis.prefix,
        streams: STREAMS,
        defaultJobOptions: MESSAGE,
        skipVersionCheck: true,
        skipWaitingForReady: true,
      })
    if (!queues.has(name)) found.on('error', () => {}) // the link says it
    queues.set(name, found)
    return found
  }

  /** Takes what comes into a queue, over connections of its own. */
  function take(name: string, onHint: OnHint): Hearing {
    const connection = redis.connect()
    const worker = new Worker<Message>(
      name,
      async ({ data: { hint, given } }) => onHint(hint, given && givenToNode(given)),
      {
        connection,
        prefix: redis.prefix,
        skipVersionCheck: true,
        // No one else takes from this queue, and what was being taken when its node died was for no
        // one else.
        skipStalledCheck: true,
        skipLockRenewal: true,
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
        // After an outage it takes again as soon as the link is used again.
        runRetryDelay: RETRY_MS,
      },
    )
    worker.on('error', () => {}) // the link says it
    return {
      async close() {
        await worker.close(true)
        connection.disconnect()
      },
    }
  }

  async function remove(name: string): Promise<void> {
    await queueOf(name).obliterate({ force: true })
    await redis.client.srem(known, name)
    await forget(name)
  }

  async function forget(name: string): Promise<void> {
    const queue = queues.get(name)
    queues.delete(name)
    await queue?.close()
  }

  return {
    async send({ node, incarnation, hint, given }: Wake) {
      if (!redis.up) throw new Error('Redis is away')
      const name = queueName(node, incarnation)
      await Promise.all([
        queueOf(name).add(hint, { hint, ...(given && { given }) }),
        redis.client.sadd(known, name),
      ])
    },
    async hear(node, incarnation, onHint) {
      const name = queueName(node, incarnation)
      let taking = take(name, onHint)
      // Its connections may have lost their other end without being told, and would take nothing,
      // forever.
      const forgo = redis.onChange((up) => {
        if (!up) return
        taking.close().catch(() => {}) // what is gone needs no goodbye
        taking = take(name, onHint)
      })
      return {
        async close() {
          forgo()
          await taking.close()
          if (redis.up) await remove(name).catch(() => {}) // then the leader does
        },
      }
    },
    lead: async () => void (await redis.client.set(leader, '', 'PX', LEADS_MS)),
    isLed: async () => (await redis.client.exists(leader)) === 1,
    async clean(living) {
      const there = await redis.client.smembers(known)
      const kept = new Set(
        (await living()).map(({ id, incarnation }) => queueName(id, incarnation)),
      )
      const left = there.filter((name) => !kept.has(name))
      for (const name of left) await remove(name)
      // Those that tidied up after themselves.
      for (const name of queues.keys()) if (!kept.has(name)) await forget(name)
      return left.length
    },
  }
}
