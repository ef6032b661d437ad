import type pg from 'pg'
import pgvector from 'pgvector'
import { EarshotError } from '@earshot/contract'

/**
 * A vector in pgvector's text form, which travels as one string.
 *
 * @example
 * await db.pool.query('select $1::public.vector', [vectorText([0.1, 0.2])])
 */
export function vectorText(vector: readonly number[]): string {
  return pgvector.toSql([...vector])!
}

/**
 * Stops when pgvector lies outside schema public, where neither our functions nor our queries would
 * find it.
 *
 * @throws EarshotError EARSHOT_VECTOR_MISSING with the line that moves it
 */
export async function refuseVectorElsewhere(client: pg.PoolClient): Promise<void> {
  const { rows } = await client.query<{ schema: string }>(
    `select n.nspname as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'`,
  )
  const schema = rows[0]?.schema ?? 'public'
  if (schema === 'public') return
  throw new EarshotError(
    'EARSHOT_VECTOR_MISSING',
    `The extension "vector" lies in schema ${schema}; Earshot needs it in schema public.`,
    {
      hint: 'Run once in this database as its owner: alter extension vector set schema public;',
    },
  )
}

/** Says why `create extension vector` failed and gives the line that mends it. */
export function vectorMissing(error: pg.DatabaseError): EarshotError {
  if (error.code !== '42501') {
    return new EarshotError('EARSHOT_VECTOR_MISSING', 'The database server has no pgvector.', {
      hint: 'Install it on the server (https://github.com/pgvector/pgvector#installation), then run: earshot db init',
      cause: error,
    })
  }
  return new EarshotError(
    'EARSHOT_VECTOR_MISSING',
    'Only a superuser of the database may create its extension "vector".',
    {
      hint: 'Run once in this database as superuser: create extension vector schema public;',
      cause: error,
    },
  )
}
