import type { Config } from '../config.ts'
import { parseRedisAddress } from '../transport/address.ts'

/**
 * The settings that no log may show: the key, and the passwords of addresses, as they are written
 * there and as they are meant.
 */
export function secretsOf({ key, database, redis, openaiServers }: Config): string[] {
  const redisPassword = redis.url === null ? undefined : parseRedisAddress(redis.url)?.password
  const asWritten =
    redisPassword === undefined ? [] : [redisPassword, encodeURIComponent(redisPassword)]
  return [
    ...[key, openaiServers.key].filter((secret) => secret !== null),
    ...[database.url, database.directUrl].flatMap(passwordsOf),
    ...asWritten,
  ]
}

function passwordsOf(address: string | undefined): string[] {
  const password = address === undefined ? '' : new URL(address).password
  return password === '' ? [] : [password, decodeURIComponent(password)]
}

/**
 * What no child process has any business with: programs that decode strangers' files get the
 * environment without it.
 */
const SECRET =
  /^(DATABASE_URL|DATABASE_DIRECT_URL|DB_PASSWORD|EARSHOT_KEY|REDIS_URL|EARSHOT_OPENAI_KEY)$/

/** The environment as it is, and takes what is secret out of it, for whatever is started later. */
export function takeEnvironment(env: NodeJS.ProcessEnv): Record<string, string | undefined> {
  const taken = { ...env }
  for (const name of Object.keys(env)) if (SECRET.test(name)) delete env[name]
  return taken
}
