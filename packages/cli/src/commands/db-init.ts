import { EarshotError } from '@earshot/contract'
import { migrate, type Migrated } from '@earshot/db/migrate'
import { readSqlFiles } from '@earshot/db/sql-files'
import type { Context } from '../context.ts'
import { embeddedExists, isEmbedded, meshHealth, withDatabase } from '../database-access.ts'
import { counted } from '../wording.ts'

type Options = { dryRun?: boolean; showSql?: boolean }
type File = { name: string; sql: string }

/**
 * `earshot db init`: creates the schema or brings it up to date; twice does nothing the second
 * time.
 */
export async function run(
  context: Context,
  _: string[],
  { dryRun = false, showSql = false }: Options,
): Promise<void> {
  const { output } = context
  if (isEmbedded(context) && (await meshHealth(context)) !== null) throw inUse(context)
  const files: File[] = []
  const result = await apply(context, dryRun, (name, sql) => void files.push({ name, sql }))
  if (output.json) {
    const { applied, functions } = result
    return output.printJson({
      dry_run: dryRun,
      applied,
      functions,
      ...(showSql ? { sql: files } : {}),
    })
  }
  if (showSql) for (const { name, sql } of files) output.printRaw(`-- ${name}\n${sql.trim()}\n`)
  report(context, result, dryRun)
}

async function apply(
  context: Context,
  dryRun: boolean,
  onSql: (name: string, sql: string) => void,
): Promise<Migrated> {
  if (!dryRun || !isEmbedded(context) || embeddedExists(context))
    return withDatabase(context, (db) => migrate(db, { dryRun, onSql }))
  // Opening the embedded database would already create it; on an empty one, everything is to be
  // done.
  const { migrations, functions, grants } = await readSqlFiles()
  for (const { name, sql } of [...migrations, ...functions, ...(grants ? [grants] : [])])
    onSql(name, sql)
  return {
    applied: migrations.map(({ name }) => name),
    functions: functions.map(({ name }) => name),
    vanished: [],
  }
}

function report({ output }: Context, { applied, functions }: Migrated, dryRun: boolean): void {
  if (applied.length + functions.length === 0)
    return output.note('The schema is up to date: nothing to do.')
  for (const name of applied) output.note(`  ${name}`)
  output.note(
    `${dryRun ? 'Would apply' : 'Applied'} ${counted(applied.length, 'migration')} and ${counted(functions.length, 'function file')}.`,
  )
}

function inUse({ config }: Context): EarshotError {
  return new EarshotError(
    'EARSHOT_DATABASE_IN_USE',
    `The mesh at ${config.url} has the embedded database open, and brought its schema up to date when it started.`,
    {
      hint: 'Stop it before you run: earshot db init',
    },
  )
}
