import type pg from 'pg'
import { EarshotError } from '@earshot/contract'
import type { Database } from './database.ts'
import { databaseError } from './errors.ts'
import { refuseVectorElsewhere, vectorMissing } from './vector.ts'
import type { LimitedQuery } from './pool.ts'
import { compare, LEDGER_SQL, type Pending, readLedger } from './ledger.ts'
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
  /** Function files that were applied anew. */
  functions: string[]
  /** Function files that were applied once and are gone now; what they made is still in the database. */
  vanished: string[]
}

/**
 * How every step begins: migrators wait for each other (the key is any number that nobody else uses), and what a file does
 * not name in full goes to public. A user called earshot would otherwise get pgvector into the schema of that name.
 */
const BEGIN_STEP = unhurried(
  'select pg_advisory_xact_lock(1163153235, 1); set local search_path = public',
)

/**
 * Brings the database to this Earshot's schema: each file of sql/migrations once, in a transaction of its own; then, in one
 * transaction, each file of sql/functions whose text changed, and grants.sql. Any number may run at once.
 *
 * @throws EarshotError EARSHOT_SCHEMA_NEWER, EARSHOT_MIGRATION_CHANGED, EARSHOT_VECTOR_MISSING, EARSHOT_DATABASE
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
    const applied: string[] = []
    for (;;) {
      const name = await applyNext(db, files, onSql)
      if (name === undefined) break
      applied.push(name)
    }
    return { applied, ...(await applyFunctions(db, files, onSql)) }
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

/** One transaction: the next migration that nobody has run yet, or undefined when there is none. */
function applyNext(
  db: Database,
  files: SqlFiles,
  onSql: MigrateOptions['onSql'],
): Promise<string | undefined> {
  return db.transaction(async (client) => {
    await client.query(BEGIN_STEP)
    const ledger = await readLedger(client)
    const [next] = compare(ledger, files).migrations
    if (next === undefined) return undefined
    await refuseVectorElsewhere(client)
    if (!ledger.exists) {
      onSql?.('ledger', LEDGER_SQL)
      await client.query(LEDGER_SQL)
    }
    onSql?.(next.name, next.sql)
    // The row comes first: should the lock ever fail to keep two apart, the second stops here, before it did anything.
    await client.query('insert into earshot.migrations (version, name, hash) values ($1, $2, $3)', [
      next.version,
      next.name,
      next.hash,
    ])
    await run(client, next)
    return next.name
  })
}

function applyFunctions(
  db: Database,
  files: SqlFiles,
  onSql: MigrateOptions['onSql'],
): Promise<Omit<Migrated, 'applied'>> {
  return db.transaction(async (client) => {
    await client.query(BEGIN_STEP)
    const ledger = await readLedger(client)
    const pending = compare(ledger, files)
    // Functions may call each other, in whatever order their files are read.
    await client.query('set local check_function_bodies = off')
    for (const file of reapplied(pending)) {
      onSql?.(file.name, file.sql)
      if (ledger.functions.has(file.name)) await refuseOverload(client, file)
      else await run(client, file)
      await client.query(
        `insert into earshot.function_files (name, hash) values ($1, $2)
         on conflict (name) do update set hash = excluded.hash, applied_at = default`,
        [file.name, file.hash],
      )
    }
    return { functions: names(pending.functions), vanished: pending.vanished }
  })
}

const reapplied = ({ functions, grants }: Pending) => [...functions, ...(grants ? [grants] : [])]
const names = (files: SqlFile[]) => files.map((file) => file.name)

/** Runs a changed file; with other arguments `create or replace` would make a second function beside the old one. */
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
