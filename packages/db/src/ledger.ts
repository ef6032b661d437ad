import type pg from 'pg'
import { EarshotError } from '@earshot/contract'
import type { Migration, SqlFile, SqlFiles } from './sql-files.ts'

/** What migrate.ts itself needs; everything else is in sql/. */
export const LEDGER_SQL = `create schema if not exists earshot;
create table if not exists earshot.migrations (
  version int primary key,
  name text not null,
  hash text not null,
  applied_at timestamptz not null default clock_timestamp()
);
comment on table earshot.migrations is 'Which files of sql/migrations ran here; each runs once.';
create table if not exists earshot.function_files (
  name text primary key,
  hash text not null,
  applied_at timestamptz not null default clock_timestamp()
);
comment on table earshot.function_files is 'Which text of each re-applied file of sql/ is in force here.';`

export type Ledger = {
  /** False before the very first migration. */
  exists: boolean
  migrations: { version: number; name: string; hash: string }[]
  /** Hash by name. */
  functions: Map<string, string>
}

type Querying = Pick<pg.Pool, 'query'> | Pick<pg.PoolClient, 'query'>

/** Reads what was applied, changing nothing. */
export async function readLedger(db: Querying): Promise<Ledger> {
  const { rows } = await db.query<{ there: boolean }>(
    `select to_regclass('earshot.function_files') is not null as there`,
  )
  if (!rows[0]?.there) return { exists: false, migrations: [], functions: new Map() }
  const migrations = await db.query<Ledger['migrations'][number]>(
    'select version, name, hash from earshot.migrations order by version',
  )
  const functions = await db.query<{ name: string; hash: string }>(
    'select name, hash from earshot.function_files',
  )
  return {
    exists: true,
    migrations: migrations.rows,
    functions: new Map(functions.rows.map((row) => [row.name, row.hash])),
  }
}

export type Pending = {
  migrations: Migration[]
  functions: SqlFile[]
  /** grants.sql, when it or any function is to be applied. */
  grants: SqlFile | null
  /** Names in the ledger whose file is gone. */
  vanished: string[]
}

/**
 * What is to be done to bring the ledger's database up to the files.
 *
 * @throws EarshotError EARSHOT_SCHEMA_NEWER when the database is ahead, EARSHOT_MIGRATION_CHANGED
 *   when an applied file differs
 */
export function compare(ledger: Ledger, files: SqlFiles): Pending {
  for (const applied of ledger.migrations) {
    const file = files.migrations[applied.version - 1]
    if (file === undefined) throw newer(applied.version, files.migrations.length)
    if (file.hash !== applied.hash) throw changed(applied.name, file.name)
  }
  const applied = new Set(ledger.migrations.map((row) => row.version))
  const migrations = files.migrations.filter((file) => !applied.has(file.version))
  const differs = (file: SqlFile) => ledger.functions.get(file.name) !== file.hash
  const functions = files.functions.filter(differs)
  const anything = migrations.length + functions.length > 0
  const grants = files.grants !== null && (anything || differs(files.grants)) ? files.grants : null
  const present = new Set(
    [...files.functions, ...(files.grants ? [files.grants] : [])].map((file) => file.name),
  )
  const vanished = [...ledger.functions.keys()].filter((name) => !present.has(name)).sort()
  return { migrations, functions, grants, vanished }
}

function newer(found: number, known: number): EarshotError {
  return new EarshotError(
    'EARSHOT_SCHEMA_NEWER',
    `The database has schema version ${found}; this Earshot knows versions up to ${known}.`,
    {
      hint: 'Update Earshot on this machine',
    },
  )
}

function changed(applied: string, file: string): EarshotError {
  return new EarshotError(
    'EARSHOT_MIGRATION_CHANGED',
    `sql/${file} differs from what was applied to this database as ${applied}.`,
    {
      hint: 'Applied migrations are frozen: restore the file and write a new migration',
    },
  )
}
