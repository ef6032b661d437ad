import type { Database } from './database.ts'
import { databaseError } from './errors.ts'
import { compare, readLedger } from './ledger.ts'
import { readSqlFiles } from './sql-files.ts'

export type SchemaReport = {
  /** Of the newest migration applied; 0 for an empty database. */
  version: number
  /** Of the newest migration that this Earshot has. */
  latest: number
  /** Nothing is pending. */
  upToDate: boolean
  /** Version of pgvector in this database; null when the extension is not created. */
  vector: string | null
  /** The server has pgvector, whether or not it is created in this database. */
  vectorAvailable: boolean
  /** `select version()`. */
  server: string
  /** Paths below sql/ of what migrate would run. */
  pending: string[]
}

/**
 * Compares the database's schema with this Earshot's, changing nothing.
 *
 * @throws EarshotError EARSHOT_SCHEMA_NEWER, EARSHOT_MIGRATION_CHANGED, EARSHOT_DATABASE
 * @example
 * if (!(await checkSchema(db)).upToDate) await migrate(db)
 */
export async function checkSchema(
  db: Database,
  { folder }: { folder?: string } = {},
): Promise<SchemaReport> {
  const files = await readSqlFiles(folder)
  try {
    const ledger = await readLedger(db.pool)
    const { migrations, functions, grants } = compare(ledger, files)
    const pending = [...migrations, ...functions, ...(grants ? [grants] : [])].map(
      (file) => file.name,
    )
    const { rows } = await db.pool.query<{
      vector: string | null
      available: boolean
      server: string
    }>(
      `select (select extversion from pg_extension where extname = 'vector') as vector,
         exists (select from pg_available_extensions where name = 'vector') as available, version() as server`,
    )
    const { vector = null, available = false, server = '' } = rows[0] ?? {}
    return {
      version: ledger.migrations.at(-1)?.version ?? 0,
      latest: files.migrations.length,
      upToDate: pending.length === 0,
      vector,
      vectorAvailable: available,
      server,
      pending,
    }
  } catch (error) {
    throw databaseError(error)
  }
}

/**
 * The schema's version as a worker may ask for it, whose database user may call functions and read
 * no table.
 *
 * @throws EarshotError EARSHOT_SCHEMA_MISSING when there is no schema, EARSHOT_DATABASE
 */
export async function schemaVersion(db: Database): Promise<{ version: number; latest: number }> {
  try {
    const { rows } = await db.pool.query<{ version: number | null }>(
      'select earshot.schema_version() as version',
    )
    return { version: rows[0]?.version ?? 0, latest: (await readSqlFiles()).migrations.length }
  } catch (error) {
    throw databaseError(error)
  }
}
