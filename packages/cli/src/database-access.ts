import { existsSync } from 'node:fs'
import path from 'node:path'
import { EarshotError, type HealthView } from '@earshot/contract'
import { openDatabase, type Database } from '@earshot/db/open'
import type { Context } from './context.ts'

/**
 * The mesh's health when one answers at EARSHOT_URL, otherwise null.
 *
 * @throws EarshotError whatever a mesh that answers complains of, such as EARSHOT_DATABASE
 */
export async function meshHealth({ client, interrupts }: Context): Promise<HealthView | null> {
  try {
    return await client.health({
      signal: AbortSignal.any([interrupts.first, AbortSignal.timeout(5_000)]),
    })
  } catch (error) {
    if (error instanceof EarshotError && error.code === 'EARSHOT_UNREACHABLE') return null
    // Something listens there but does not answer: no mesh to rely on. The embedded database's own
    // lock guards it still.
    if (error instanceof DOMException && error.name === 'TimeoutError') return null
    throw error
  }
}

/**
 * Whether this command's database is the embedded one, of which only one process may hold it open.
 */
export const isEmbedded = ({ config }: Context): boolean => config.database.url === undefined

/** Whether the embedded database was ever created; opening it would create it. */
export const embeddedExists = ({ config }: Context): boolean =>
  existsSync(path.join(config.home, 'db'))

/** Opens the database for `work` alone and closes it again. */
export async function withDatabase<T>(
  { config, log }: Context,
  work: (db: Database) => Promise<T>,
): Promise<T> {
  const db = await openDatabase({ ...config.database, poolSize: 2 }, log)
  try {
    return await work(db)
  } finally {
    await db.close()
  }
}
