import path from 'node:path'
import type { Logger as Log } from 'pino'
import type { DatabaseSettings } from '../database.ts'
import type { Connecting } from '../pool.ts'
import { privateFolder } from '../private-folder.ts'
import { types } from '../types.ts'
import { EMBEDDED_CONNECT_S, EMBEDDED_WATCHDOG_S } from './differences.ts'
import { startEngine } from './engine.ts'
import { createLink, type Link } from './link.ts'
import { takeLock } from './lock.ts'
import { EmbeddedStream } from './stream.ts'

export type Embedded = { connecting: Connecting; close(): Promise<void> }

/**
 * Opens the PostgreSQL that runs inside this process, with its files in `home/db`, and returns how
 * node-postgres reaches it.
 *
 * @throws EarshotError EARSHOT_DATABASE_IN_USE when another process has it open, EARSHOT_DATABASE
 *   when it cannot be opened
 */
export async function openEmbedded(settings: DatabaseSettings, log?: Log): Promise<Embedded> {
  const home = path.resolve(settings.home)
  await privateFolder(home, log)
  const lock = await takeLock(path.join(home, 'db.lock'), log)
  let link: Link | undefined
  try {
    const engine = await startEngine({
      directory: path.join(home, 'db'),
      watchdogS: settings.watchdogS ?? EMBEDDED_WATCHDOG_S,
      onLost: (error) => link?.lost(error),
      log,
    })
    // Afterwards: the engine opens its folder to all when it starts.
    await privateFolder(path.join(home, 'db'), log)
    const made = createLink(engine, settings.idleInTransactionS ?? 60)
    link = made
    return {
      connecting: connectThrough(made, settings.connectTimeoutS ?? EMBEDDED_CONNECT_S),
      async close() {
        await made.drained()
        await engine.close()
        await lock.release()
      },
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** Nothing may come from PGHOST and its like: this database has no address. */
function connectThrough(link: Link, timeoutS: number): Connecting {
  return {
    stream: () => new EmbeddedStream(link),
    user: 'postgres',
    database: 'postgres',
    host: 'embedded',
    port: 5432,
    ssl: false,
    types,
    application_name: 'earshot',
    connectionTimeoutMillis: timeoutS * 1000,
  }
}
