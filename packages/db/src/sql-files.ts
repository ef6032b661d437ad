import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { EarshotError } from '@earshot/contract'

export type SqlFile = {
  /** Path below sql/, such as `functions/submit_job.sql`. */
  name: string
  sql: string
  /** SHA-256, hex. */
  hash: string
}
export type Migration = SqlFile & { version: number }
export type SqlFiles = {
  /** In ascending order, from 1 on without gaps. */
  migrations: Migration[]
  functions: SqlFile[]
  /** Run after every change of a function; null where there is no grants.sql. */
  grants: SqlFile | null
}

const PACKED = fileURLToPath(new URL('./sql', import.meta.url))
/** Where the SQL of this Earshot lies: packed beside the code, or at the root of the repository. */
export const SQL_FOLDER = existsSync(PACKED)
  ? PACKED
  : fileURLToPath(new URL('../../../sql', import.meta.url))

/**
 * Reads migrations/NNNN_*.sql, functions/*.sql and grants.sql below a folder.
 *
 * @throws EarshotError EARSHOT_INTERNAL when a migration's number is missing or there twice
 */
export async function readSqlFiles(folder: string = SQL_FOLDER): Promise<SqlFiles> {
  const names = (await readdir(path.join(folder, 'migrations')))
    .filter((name) => name.endsWith('.sql'))
    .sort()
  const functions = (await readdir(path.join(folder, 'functions')))
    .filter((name) => name.endsWith('.sql'))
    .sort()
  const migrations = await Promise.all(
    names.map(async (name, index) => {
      const version = Number(/^(\d{4})_/.exec(name)?.[1])
      if (version === index + 1) return { version, ...(await read(folder, `migrations/${name}`)) }
      throw new EarshotError(
        'EARSHOT_INTERNAL',
        `sql/migrations/${name} should begin with ${String(index + 1).padStart(4, '0')}_.`,
      )
    }),
  )
  return {
    migrations,
    functions: await Promise.all(functions.map((name) => read(folder, `functions/${name}`))),
    grants: (await readdir(folder)).includes('grants.sql')
      ? await read(folder, 'grants.sql')
      : null,
  }
}

async function read(folder: string, name: string): Promise<SqlFile> {
  // Git may check files out with other line ends; that changes no migration.
  const sql = (await readFile(path.join(folder, name), 'utf8')).replaceAll('\r\n', '\n')
  return { name, sql, hash: createHash('sha256').update(sql).digest('hex') }
}
