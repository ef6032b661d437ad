import type pg from 'pg'
import { EarshotError } from '../../contract/errors.ts'
import { databaseError } from '../errors.ts'

/** A pool, or one of its connections inside a transaction. */
export type Queryable = Pick<pg.Pool, 'query'>

/** What our SQL functions raise for a request that cannot be right. */
const INVALID_PARAMETER = '22023'
/** A prepared statement is not there, or there already: a transaction pooler gave us another server connection than before. */
const STATEMENT_ELSEWHERE = new Set(['26000', '42P05'])
/** Where prepared statements do not last: their names are sent no more. */
const poolers = new WeakSet<Queryable>()

/**
 * Runs one statement that calls a function of schema earshot and returns its rows. It is prepared under its name, once a
 * connection, until a transaction pooler shows that it keeps no such names.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST with the function's own sentence when it refuses its arguments; EARSHOT_DATABASE
 *   and its kin when the database cannot be reached
 */
export async function call<Row extends pg.QueryResultRow>(db: Queryable, name: string, text: string, values: unknown[]): Promise<Row[]> {
  try {
    const { rows } = await db.query<Row>(poolers.has(db) ? { text, values } : { name, text, values })
    return rows
  } catch (err) {
    const code = err instanceof Error && 'code' in err ? String(err.code) : ''
    if (STATEMENT_ELSEWHERE.has(code) && !poolers.has(db)) {
      // Refused before it ran, so it may be sent again.
      poolers.add(db)
      return call(db, name, text, values)
    }
    if (code === INVALID_PARAMETER) throw new EarshotError('EARSHOT_BAD_REQUEST', (err as Error).message, { cause: err })
    throw databaseError(err)
  }
}
