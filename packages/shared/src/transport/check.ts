import { reasonOf } from './reason.ts'
import { type RedisClient, clientOf } from './redis.ts'

/**
 * What is to be known of a Redis before a mesh relies on it. `evicts`: the policy by which it
 * throws away what no one deleted, once it is full; null when it does not.
 */
export type RedisReport = { version: string; evicts: string | null }

const PATIENCE_MS = 3000

/**
 * Looks at a Redis: whether it lets us in, takes a write, and how it is set up.
 *
 * @throws Error that says why, when it cannot be reached within some seconds, or refuses
 * @example
 * const { version, evicts } = await checkRedis('redis://:secret@box-1:6379')
 */
export async function checkRedis(url: string): Promise<RedisReport> {
  const client = clientOf(url, {
    commandTimeout: PATIENCE_MS,
    connectTimeout: PATIENCE_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  })
  // Why it did not connect; what the commands say is only that it did not. A cluster's client would
  // try forever.
  const failed = new Promise<never>((_, reject) => client.on('error', reject))
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error('it does not answer')), 2 * PATIENCE_MS)
  try {
    return await Promise.race([failed, late.promise, look(client)])
  } catch (err) {
    throw new Error(reasonOf(err), { cause: err })
  } finally {
    clearTimeout(timer)
    client.disconnect()
  }
}

async function look(client: RedisClient): Promise<RedisReport> {
  await client.set('earshot:doctor', '', 'PX', 1)
  const facts = new Map(
    (await client.info()).split('\r\n').map((line) => line.split(':', 2) as [string, string]),
  )
  const policy = facts.get('maxmemory_policy') ?? 'noeviction'
  return {
    version: facts.get('redis_version') ?? '',
    evicts: Number(facts.get('maxmemory') ?? 0) > 0 && policy !== 'noeviction' ? policy : null,
  }
}
