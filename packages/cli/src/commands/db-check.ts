import { checkSchema, type SchemaReport } from '@earshot/db/migrate'
import type { Database } from '@earshot/db/open'
import type { Context } from '../context.ts'
import { counted } from '../wording.ts'
import { embeddedExists, isEmbedded, meshHealth, withDatabase } from '../database-access.ts'
import { EXIT } from '../exit-code.ts'

/** What `--json` prints; what is not known is null. */
export type DatabaseCheck = {
  ok: boolean
  database: 'embedded' | 'postgres'
  /** The mesh that was asked, since only it may open the embedded database. */
  mesh: string | null
  server: string | null
  version: number | null
  latest: number | null
  pending: string[]
  vector: string | null
  /** What to do, one sentence or command each. */
  advice: string[]
}

/**
 * `earshot db check`: whether the database answers and holds this Earshot's schema; exit code 1
 * when something is to be done.
 */
export async function run(context: Context): Promise<number> {
  const check = await checkDatabase(context)
  const { output } = context
  if (output.json) output.printJson(check)
  else print(context, check)
  return check.ok ? EXIT.ok : EXIT.failed
}

/**
 * Looks at the database and changes nothing. A server is read directly, also while a mesh runs on
 * it: reading disturbs no one, and it is this address that is in question. The embedded one is
 * asked through the mesh that has it open.
 */
export async function checkDatabase(context: Context): Promise<DatabaseCheck> {
  const nothing = {
    mesh: null,
    server: null,
    version: null,
    latest: null,
    pending: [],
    vector: null,
  }
  if (!isEmbedded(context)) return withDatabase(context, (db) => inspect(db))
  const health = await meshHealth(context)
  if (health !== null)
    return { ...nothing, ok: true, database: health.database, mesh: health.url, advice: [] }
  if (!embeddedExists(context))
    return {
      ...nothing,
      ok: false,
      database: 'embedded',
      advice: ['There is no database yet: npm start, or earshot db init, creates it.'],
    }
  return withDatabase(context, (db) => inspect(db))
}

async function inspect(db: Database): Promise<DatabaseCheck> {
  const report = await checkSchema(db)
  const { upToDate, version, latest, pending, server, vector } = report
  return {
    ok: upToDate && vector !== null,
    database: db.embedded ? 'embedded' : 'postgres',
    mesh: null,
    server,
    version,
    latest,
    pending,
    vector,
    advice: await adviceFor(db, report),
  }
}

async function adviceFor(
  db: Database,
  { upToDate, vector, vectorAvailable }: SchemaReport,
): Promise<string[]> {
  if (vector === null && !vectorAvailable)
    return [
      'The server has no pgvector. Install it there: https://github.com/pgvector/pgvector#installation',
    ]
  if (vector === null && !(await mayCreateVector(db)))
    return ['Run once in this database as superuser: create extension vector schema public;']
  return upToDate ? [] : ['Run: earshot db init']
}

async function mayCreateVector(db: Database): Promise<boolean> {
  const { rows } = await db.pool.query<{ may: boolean }>(
    `select bool_or(r.rolsuper or (v.trusted and has_database_privilege(current_database(), 'create'))) as may
     from pg_roles r, pg_available_extension_versions v where r.rolname = current_user and v.name = 'vector'`,
  )
  return rows[0]?.may ?? false
}

function print({ output, config }: Context, check: DatabaseCheck): void {
  output.print(
    check.ok ? output.green('The database is well.') : output.red('The database needs something.'),
  )
  const facts: [string, string | null][] = [
    [
      'database',
      check.database === 'embedded' ? `embedded, in ${config.home}` : 'the server at DATABASE_URL',
    ],
    ['asked', check.mesh === null ? null : `the mesh at ${check.mesh}`],
    ['server', check.server],
    [
      'schema',
      check.version === null
        ? null
        : `version ${check.version} of ${check.latest}${check.pending.length === 0 ? '' : `, ${counted(check.pending.filter((name) => name !== 'grants.sql').length, 'file')} to apply`}`,
    ],
    ['pgvector', check.server === null ? null : (check.vector ?? 'not created')],
  ]
  for (const [name, value] of facts)
    if (value !== null) output.print(`  ${name.padEnd(9)} ${value}`)
  for (const advice of check.advice) output.print(advice)
}
