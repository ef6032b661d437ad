import pg from 'pg'
import { EarshotError } from '../contract/errors.ts'
import type { Log } from '../log.ts'
import type { DatabaseSettings } from './database.ts'
import { splitTls } from './tls.ts'
import { types } from './types.ts'

/** Everything that both a pooled and a single connection need. */
export type Connecting = pg.ClientConfig

/**
 * How to connect to a server at `address`, TLS included.
 *
 * No session settings are sent as start-up parameters: a transaction pooler refuses those it does not know, and a SET
 * would leak to whoever gets the server connection next. What a transaction needs it sets with SET LOCAL.
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
  }
  try {
    new pg.Client(connecting)
  } catch {
    // The cause is dropped on purpose: it carries the whole address, password included.
    throw new EarshotError('EARSHOT_BAD_CONFIG', 'DATABASE_URL is not the address of a PostgreSQL database.', {
      field: 'DATABASE_URL',
      hint: 'It looks like postgresql://user:password@host:5432/database; encode special characters of the password',
    })
  }
  return connecting
}

/** Opens a pool whose connection losses are logged and never end the process. */
export function openPool(connecting: Connecting, size: number, settings: DatabaseSettings, log?: Log): pg.Pool {
  const pool = new pg.Pool({
    ...connecting,
    max: size,
    idleTimeoutMillis: (settings.idleTimeoutS ?? 30) * 1000,
    maxLifetimeSeconds: settings.maxLifetimeS ?? 1800,
  })
  pool.on('error', (err) => log?.warn({ err }, 'An idle database connection was lost'))
  // pg-pool listens only while a client is idle; one lost while checked out would otherwise end the process. Its query
  // is rejected with the same error, so nothing is hidden here.
  pool.on('connect', (client) => {
    client.on('error', (err) => log?.debug({ err }, 'A database connection was lost'))
  })
  return pool
}
