import { EarshotError } from '@earshot/contract'
import { parseRedisAddress } from '@earshot/shared/transport/address'
import { checkRedis } from '@earshot/shared/transport/check'
import type { Context } from './context.ts'
import { isEmbedded, meshHealth } from './database-access.ts'
import type { Check } from './doctor.ts'

const REDIS_NEEDED = [6, 2] as const

/**
 * The Redis of REDIS_URL lets us in, takes messages and keeps them, and the mesh uses it too.
 * Without it the mesh works, so that nothing here is missing.
 */
export async function checkRedisHealth(context: Context): Promise<Check> {
  const { url } = context.config.redis
  if (url === null)
    return {
      name: 'redis',
      status: 'ok',
      found: 'none set: wake-ups go through PostgreSQL, progress over HTTP',
      fix: null,
    }
  if (isEmbedded(context))
    return {
      name: 'redis',
      status: 'ok',
      found: 'not used: the built-in database needs none',
      fix: null,
    }
  const warning = (found: string, fix: string): Check => ({
    name: 'redis',
    status: 'warning',
    found,
    fix,
  })
  try {
    const { version, evicts } = await checkRedis(url)
    const [major = 0, minor = 0] = version.split('.').map(Number)
    if (major < REDIS_NEEDED[0] || (major === REDIS_NEEDED[0] && minor < REDIS_NEEDED[1]))
      return warning(`version ${version}`, `Install Redis ${REDIS_NEEDED.join('.')} or newer.`)
    if (evicts !== null)
      return warning(
        `it may throw away messages (maxmemory-policy ${evicts}); jobs then start up to 2 s later`,
        'redis-cli config set maxmemory-policy noeviction',
      )
    return (
      (await whatMeshSays(context, warning)) ?? {
        name: 'redis',
        status: 'ok',
        found: `${placeOf(url)}, version ${version}`,
        fix: null,
      }
    )
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    return warning(`${placeOf(url)}: ${said}`, adviceFor(said))
  }
}

/** A worker's messages come from the coordinator. */
async function whatMeshSays(
  context: Context,
  warning: (found: string, fix: string) => Check,
): Promise<Check | undefined> {
  try {
    const health = await meshHealth(context)
    if (health === null || health.redis === 'up') return undefined
    if (health.redis === 'away')
      return warning(
        `it answers here, but not the coordinator at ${health.url}`,
        'See that the coordinator reaches the same REDIS_URL: earshot doctor, there.',
      )
    return warning(
      `the coordinator at ${health.url} has none, so that nothing comes through it`,
      'Give the coordinator the same REDIS_URL and start it anew.',
    )
  } catch (error) {
    if (error instanceof EarshotError) return undefined // the line about the mesh says it
    throw error
  }
}

const placeOf = (url: string): string =>
  parseRedisAddress(url)!
    .hosts.map(({ host, port }) => `${host}:${port}`)
    .join(', ')

function adviceFor(said: string): string {
  if (/WRONGPASS|NOAUTH|invalid password|invalid username/i.test(said))
    return 'Set REDIS_URL with the right password: redis://user:password@host:6379/0'
  if (/NOPERM/.test(said))
    return 'Give the user of REDIS_URL the right to all commands and keys, or name another one there.'
  if (/READONLY/.test(said)) return 'Let REDIS_URL lead to the primary: this one is a replica.'
  if (/OOM|MISCONF/.test(said)) return 'Give Redis room: more maxmemory, or more space on its disk.'
  return 'Start that Redis, or correct REDIS_URL (rediss:// with TLS); or leave REDIS_URL out: the mesh does without.'
}
