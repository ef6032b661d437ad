import pg from 'pg'
import { EarshotError } from '@earshot/contract'
import type { Logger as Log } from 'pino'
import type { DatabaseSettings } from './database.ts'
import { SessionClient } from './session.ts'
import { splitTls } from './tls.ts'
import { types } from './types.ts'

/** Everything that both a pooled and a single connection need. */
export type Connecting = pg.ClientConfig

/**
 * How long, in milliseconds, an answer of a server is waited for where no one says less (call.ts
 * does): where packets are dropped without a word nothing else ends a query for a quarter of an
 * hour. The embedded engine has its own watchdog.
 */
const ANSWER_MS = 60_000

/**
 * How to connect to a server at `address`, TLS included.
 *
 * No session settings but those of session.ts are sent as start-up parameters: a transaction pooler
 * refuses those it does not know, and a SET would leak to the next client on that server
 * connection. What a transaction needs it sets with SET LOCAL.
 *
 * @throws EarshotError EARSHOT_BAD_CONFIG when the address cannot be read
 */
export function serverConnection(address: string, settings: DatabaseSettings): Connecting {
  const { url, ssl } = splitTls(address, settings)
  const connecting: Connecting = {
    connectionString: url,
    ssl,
    types,
    application_name: 'earshot',
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: (settings.connectTimeoutS ?? 10) * 1000,
    query_timeout: ANSWER_MS,
  }
  try {
    new pg.Client(connecting)
  } catch {
    // The cause is dropped on purpose: it carries the whole address, password included.
    throw new EarshotError(
      'EARSHOT_BAD_CONFIG',
      'DATABASE_URL is not the address of a PostgreSQL database.',
      {
        field: 'DATABASE_URL',
        hint: 'It looks like postgresql://user:password@host:5432/database; encode special characters of the password',
      },
    )
  }
  return connecting
}

/** Opens a pool whose connection losses are logged and never end the process. */
export function openPool(
  connecting: Connecting,
  size: number,
  settings: DatabaseSettings,
  log?: Log,
): pg.Pool {
  const pool = new pg.Pool({
    ...connecting,
    Client: SessionClient,
    max: size,
    idleTimeoutMillis: (settings.idleTimeoutS ?? 30) * 1000,
    maxLifetimeSeconds: settings.maxLifetimeS ?? 1800,
  })
  pool.on('error', (err) => log?.warn({ err }, 'An idle database connection was lost'))
  // pg-pool listens only while a client is idle; one lost while checked out would otherwise end the
  // process. Its query is rejected with the same error, so nothing is hidden here.
  pool.on('connect', (client) => {
    client.on('error', (err) => log?.debug({ err }, 'A database connection was lost'))
  })
  distrustTogether(pool)
  return pool
}

/**
 * A query that is given another limit than its connection's, in milliseconds; on the embedded
 * database it means nothing.
 */
export type LimitedQuery = pg.QueryConfig & { query_timeout?: number }

/** Whether this pool reaches a server, whose answers are waited for only so long. */
export function waitsLimited({ options }: pg.Pool): boolean {
  return options.query_timeout !== undefined
}

/**
 * Whether a query failed because its answer did not come in time; its connection is of no use any
 * more.
 */
export function isUnanswered(err: unknown): boolean {
  return err instanceof Error && err.message === 'Query read timeout'
}

/**
 * One connection that does not answer tells of the others: those that idle are closed, or each
 * would cost its own time limit.
 */
function distrustTogether(pool: pg.Pool): void {
  const idle = new Set<pg.PoolClient>()
  pool.on('acquire', (client) => void idle.delete(client))
  pool.on('remove', (client) => void idle.delete(client))
  pool.on('release', (err, client) => {
    if (!isUnanswered(err)) return void idle.add(client)
    for (const one of idle)
      one.connection.stream.destroy(new Error('Another connection of this pool does not answer'))
  })
}
