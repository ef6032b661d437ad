import type { Logger as Log } from 'pino'
import type { Database, DatabaseSettings, Listener } from './database.ts'
import { EMBEDDED_BEGIN, EMBEDDED_POOL_SIZE } from './embedded/differences.ts'
import { openEmbedded } from './embedded/open.ts'
import { keepVacuumed } from './embedded/vacuum.ts'
import { databaseError } from './errors.ts'
import { createListener } from './listen.ts'
import { type Connecting, openPool, serverConnection } from './pool.ts'
import { refuseOddDatabase, SessionClient } from './session.ts'
import { beginOnServer, createTransactions } from './transaction.ts'

export type { Database, DatabaseSettings, Listener, ListenerState, SslMode } from './database.ts'
export { databaseError } from './errors.ts'

type Opened = {
  connecting: Connecting
  listening: Connecting
  size: number
  begin: string
  embedded: boolean
  closeEngine: () => Promise<void>
}

/**
 * Opens the database: a PostgreSQL server when `url` is given, else the embedded one under `home`.
 * A server is asked once, so that a wrong address is known here and now.
 *
 * @throws EarshotError EARSHOT_DATABASE, EARSHOT_DATABASE_IN_USE, EARSHOT_BAD_CONFIG
 * @example
 * const db = await openDatabase({ home: '/var/lib/earshot', url: 'postgresql://earshot@db.lan/earshot' }, log)
 * const { rows } = await db.pool.query('select 1 as one')
 * await db.close()
 */
export async function openDatabase(settings: DatabaseSettings, log?: Log): Promise<Database> {
  const opened =
    settings.url === undefined ? await embedded(settings, log) : server(settings.url, settings)
  const pool = openPool(opened.connecting, opened.size, settings, log)
  const listeners = new Set<Listener>()
  const stopVacuuming = opened.embedded ? keepVacuumed(pool, log) : async () => {}
  let closed: Promise<void> | undefined

  const direct = () => new SessionClient(opened.listening)
  async function close(): Promise<void> {
    await Promise.all([...listeners].map((listener) => listener.close()))
    await stopVacuuming()
    await pool.end()
    await opened.closeEngine()
  }

  try {
    await refuseOddDatabase(pool)
  } catch (error) {
    await close()
    throw databaseError(error)
  }
  return {
    pool,
    embedded: opened.embedded,
    ...createTransactions(pool, opened.begin),
    direct,
    async listen(channels, onMissed) {
      const listener = await createListener({
        connection: () => opened.listening,
        pool,
        channels,
        onMissed,
        log,
      })
      listeners.add(listener)
      return listener
    },
    close: () => (closed ??= close()),
  }
}

function server(url: string, settings: DatabaseSettings): Opened {
  return {
    connecting: serverConnection(url, settings),
    listening: serverConnection(settings.directUrl ?? url, settings),
    size: settings.poolSize ?? 10,
    begin: beginOnServer(settings.idleInTransactionS ?? 60),
    embedded: false,
    closeEngine: async () => {},
  }
}

async function embedded(settings: DatabaseSettings, log?: Log): Promise<Opened> {
  const { connecting, close } = await openEmbedded(settings, log)
  return {
    connecting,
    listening: connecting,
    size: EMBEDDED_POOL_SIZE,
    begin: EMBEDDED_BEGIN,
    embedded: true,
    closeEngine: close,
  }
}
