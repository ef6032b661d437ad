import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { EarshotError } from '@earshot/contract'
import type { Database } from './database.ts'
import { databaseError } from './errors.ts'
import { refuseVectorElsewhere, vectorMissing } from './vector.ts'
import type { LimitedQuery } from './pool.ts'
import { compare, type Ledger, LEDGER_SQL, type Pending, readLedger } from './ledger.ts'
import { readSqlFiles, type SqlFile, type SqlFiles } from './sql-files.ts'

export { checkSchema, schemaVersion, type SchemaReport } from './check.ts'

export type MigrateOptions = {
  /** Report what would run, change nothing. */
  dryRun?: boolean
  /** Called with each file before it runs (or would run): its path below sql/, and its text. */
  onSql?: (name: string, sql: string) => void
  /** Where migrations/ and functions/ are; this Earshot's own by default. */
  folder?: string
}

export type Migrated = {
  /** Migrations that ran, such as `migrations/0001_mesh.sql`. */
  applied: string[]
  /** Function files that were applied again. */
  functions: string[]
  /**
   * Function files that were applied once and are gone now; what they made is still in the
   * database.
   */
  vanished: string[]
}

/**
 * How it begins: migrators wait for each other (the key is any number that no one else uses), and
 * what a file does not name in full goes to public. A user called earshot would otherwise get
 * pgvector into the schema of that name.
 */
const BEGIN = unhurried(
  'select pg_advisory_xact_lock(1163153235, 1); set local search_path = public',
)

/**
 * For so long, in milliseconds, a migration waits for a table: anyone who asks for the table after
 * it waits as long.
 */
const LOCK_MS = 2_000
/**
 * A try that could not get a table, or was chosen to end a deadlock, is made again after a rest.
 */
const TRIES = 30
const REST_MS = 1_000

/**
 * Brings the database to this Earshot's schema, in one transaction: each file of sql/migrations
 * once, each file of sql/functions whose text changed, and grants.sql. So a running mesh never
 * misses a function that a migration drops and a file makes again. Any number of migrators may run
 * at once; one that cannot get a table in time lets go and tries again.
 *
 * @throws EarshotError EARSHOT_SCHEMA_NEWER, EARSHOT_MIGRATION_CHANGED, EARSHOT_VECTOR_MISSING,
 *   EARSHOT_DATABASE
 * @example
 * const { applied } = await migrate(db, { onSql: (name) => console.log(name) })
 */
export async function migrate(
  db: Database,
  { dryRun = false, onSql, folder }: MigrateOptions = {},
): Promise<Migrated> {
  const files = await readSqlFiles(folder)
  try {
    if (dryRun) return await rehearse(db.pool, files, onSql)
    return await withRetries(() => db.transaction((client) => applyAll(client, files, onSql)))
  } catch (error) {
    throw databaseError(error)
  }
}

async function rehearse(
  pool: pg.Pool,
  files: SqlFiles,
  onSql: MigrateOptions['onSql'],
): Promise<Migrated> {
  const ledger = await readLedger(pool)
  const pending = compare(ledger, files)
  if (!ledger.exists) onSql?.('ledger', LEDGER_SQL)
  for (const file of [...pending.migrations, ...reapplied(pending)]) onSql?.(file.name, file.sql)
  return {
    applied: names(pending.migrations),
    functions: names(pending.functions),
    vanished: pending.vanished,
  }
}

async function applyAll(
  client: pg.PoolClient,
  files: SqlFiles,
  onSql: MigrateOptions['onSql'],
): Promise<Migrated> {
  await client.query(BEGIN)
  // Set after the migrators waited for each other: that takes as long as it takes.
  await client.query(`set local lock_timeout = ${LOCK_MS}`)
  const ledger = await readLedger(client)
  const pending = compare(ledger, files)
  if (pending.migrations.length > 0) await refuseVectorElsewhere(client)
  if (!ledger.exists) {
    onSql?.('ledger', LEDGER_SQL)
    await client.query(LEDGER_SQL)
  }
  for (const file of pending.migrations) {
    onSql?.(file.name, file.sql)
    // The row comes first: should the lock ever fail to keep two apart, the second stops here.
    await client.query('insert into earshot.migrations (version, name, hash) values ($1, $2, $3)', [
      file.version,
      file.name,
      file.hash,
    ])
    await run(client, file)
  }
  await applyFunctions(client, { ledger, files: reapplied(pending), onSql })
  return {
    applied: names(pending.migrations),
    functions: names(pending.functions),
    vanished: pending.vanished,
  }
}

async function applyFunctions(
  client: pg.PoolClient,
  { ledger, files, onSql }: { ledger: Ledger; files: SqlFile[] } & Pick<MigrateOptions, 'onSql'>,
): Promise<void> {
  // Functions may call each other, in whatever order their files are read.
  await client.query('set local check_function_bodies = off')
  for (const file of files) {
    onSql?.(file.name, file.sql)
    if (ledger.functions.has(file.name)) await refuseOverload(client, file)
    else await run(client, file)
    await client.query(
      `insert into earshot.function_files (name, hash) values ($1, $2)
       on conflict (name) do update set hash = excluded.hash, applied_at = default`,
      [file.name, file.hash],
    )
  }
}

/** 55P03: a table was not free in time. 40P01: a deadlock with the running mesh. */
const TRY_AGAIN = new Set(['55P03', '40P01'])

async function withRetries<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const thrown = error instanceof EarshotError ? error.cause : error
      if (!TRY_AGAIN.has((thrown as { code?: string } | undefined)?.code ?? '')) throw error
      if (tries === TRIES) throw tableHeld(error)
      await sleep(REST_MS)
    }
  }
}

function tableHeld(cause: unknown): EarshotError {
  return new EarshotError(
    'EARSHOT_DATABASE',
    'The schema could not be updated: another transaction held one of its tables all the time.',
    {
      hint: 'Find it with: select * from pg_stat_activity where xact_start is not null; end it, and try again',
      cause,
    },
  )
}

const reapplied = ({ functions, grants }: Pending) => [...functions, ...(grants ? [grants] : [])]
const names = (files: SqlFile[]) => files.map((file) => file.name)

/**
 * Runs a changed file; with other arguments `create or replace` would make a second function beside
 * the old one.
 */
async function refuseOverload(client: pg.PoolClient, file: SqlFile): Promise<void> {
  const before = await signatures(client)
  await run(client, file)
  const known = new Set(before.map((row) => row.name))
  const there = new Set(before.map((row) => row.signature))
  const doubled = (await signatures(client)).find(
    (row) => !there.has(row.signature) && known.has(row.name),
  )
  if (doubled !== undefined)
    throw signatureChanged(file, `it makes a second ${doubled.name}: ${doubled.signature}`)
}

async function signatures(client: pg.PoolClient): Promise<{ name: string; signature: string }[]> {
  const { rows } = await client.query<{ name: string; signature: string }>(
    `select proname as name, oid::regprocedure::text as signature from pg_proc where pronamespace = 'earshot'::regnamespace`,
  )
  return rows
}

/** An index on a large table takes its time, and so does the migrator that waits for it. */
function unhurried(text: string): LimitedQuery {
  return { text, query_timeout: 24 * 3600 * 1000 }
}

async function run(client: pg.PoolClient, file: SqlFile): Promise<void> {
  try {
    await client.query(unhurried(file.sql))
  } catch (error) {
    throw explain(error as pg.DatabaseError, file)
  }
}

/** 42P13: other result or names of arguments; 42725: a name that has become ambiguous. */
const SIGNATURE = new Set(['42P13', '42725'])
const VECTOR = /extension "vector"|extension control file|vector\.control/

function explain(error: pg.DatabaseError, file: SqlFile): EarshotError {
  const code = error.code ?? ''
  if (VECTOR.test(error.message)) return vectorMissing(error)
  if (file.name.startsWith('functions/') && SIGNATURE.has(code))
    return signatureChanged(file, error.message, error)
  if (error.position === undefined)
    return new EarshotError('EARSHOT_DATABASE', `sql/${file.name} failed: ${error.message}`, {
      cause: error,
    })
  const line = file.sql.slice(0, Number(error.position) - 1).split('\n').length
  return new EarshotError(
    'EARSHOT_DATABASE',
    `sql/${file.name} failed in line ${line}: ${error.message}`,
    { cause: error },
  )
}

function signatureChanged(file: SqlFile, what: string, cause?: Error): EarshotError {
  return new EarshotError(
    'EARSHOT_DATABASE',
    `sql/${file.name} changes the arguments or the result of its function: ${what}`,
    {
      hint: 'Drop the old function in a new migration; create or replace cannot change its signature',
      cause,
    },
  )
}
