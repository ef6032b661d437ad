import pg from 'pg'
import { EarshotError } from '../../contract/errors.ts'
import { databaseError } from '../errors.ts'
import { type LimitedQuery, waitsLimited } from '../pool.ts'

/** A pool, or one of its connections inside a transaction. */
export type Queryable = Pick<pg.Pool, 'query'>

/** What our SQL functions raise for a request that cannot be right. */
const INVALID_PARAMETER = '22023'
/** A prepared statement is not there, or there already: a transaction pooler gave us another server connection than before. */
const STATEMENT_ELSEWHERE = new Set(['26000', '42P05'])
/** A deadlock, or a serialization failure: undone as a whole, and no fault of this statement. */
const UNDONE = new Set(['40P01', '40001'])
/** Where prepared statements do not last: their names are sent no more. */
const poolers = new WeakSet<Queryable>()

/** Milliseconds; less than half of a lease, so that a heartbeat over a dead connection leaves time for another one. */
const SHORT_MS = 5_000
/**
 * How long the answer of a call is waited for on a server; then its connection counts as dead. What is not listed may take longer, and
 * has the pool's own limit. Leadership expires after 1.5 s, so a later answer to that is worth nothing.
 */
const LIMITS_MS: Record<string, number> = {
  lead: 1_000, resign: 1_000, greet_coordinator: SHORT_MS,
  list_lanes: SHORT_MS, list_free_nodes: SHORT_MS, list_next_jobs: SHORT_MS, route_jobs: SHORT_MS, sweep: SHORT_MS,
  list_waiting: SHORT_MS, recall_jobs: SHORT_MS, pass_on_events: SHORT_MS,
  list_alone_jobs: SHORT_MS, list_lone_nodes: SHORT_MS, route_alone_job: SHORT_MS,
  heartbeat: SHORT_MS, take_assignments: SHORT_MS, start_jobs: SHORT_MS, hand_back_jobs: SHORT_MS,
  drain_node: SHORT_MS, leave_node: SHORT_MS, node_channel: SHORT_MS, lease_seconds: SHORT_MS, set_hearing: SHORT_MS, notify_node: SHORT_MS, list_coordinators: SHORT_MS,
}

/**
 * Runs one statement that calls a function of schema earshot and returns its rows. It is prepared under its name, once a
 * connection, until a transaction pooler shows that it keeps no such names. On a server its answer is waited for only so long
 * (LIMITS_MS); one that the server undid for the sake of others is sent once more.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST with the function's own sentence when it refuses its arguments; EARSHOT_DATABASE
 *   and its kin when the database cannot be reached
 */
export function call<Row extends pg.QueryResultRow>(db: Queryable, name: string, text: string, values: unknown[]): Promise<Row[]> {
  // Inside a transaction only all of it can be tried again, by whoever began it.
  return send<Row>(db, name, { text, values, ...limitOf(db, name) }, db instanceof pg.Pool ? 1 : 0)
}

async function send<Row extends pg.QueryResultRow>(db: Queryable, name: string, query: LimitedQuery, again: number): Promise<Row[]> {
  const named = !poolers.has(db)
  try {
    const { rows } = await db.query<Row>(named ? { ...query, name } : query)
    return rows
  } catch (err) {
    const code = err instanceof Error && 'code' in err ? String(err.code) : ''
    // Refused before it ran, so it may be sent again. Asked of this very query: another one may have found the pooler out meanwhile.
    if (STATEMENT_ELSEWHERE.has(code) && named) {
      poolers.add(db)
      return send(db, name, query, again)
    }
    if (UNDONE.has(code) && again > 0) return send(db, name, query, again - 1)
    if (code === INVALID_PARAMETER) throw new EarshotError('EARSHOT_BAD_REQUEST', (err as Error).message, { cause: err })
    throw databaseError(err)
  }
}

function limitOf(db: Queryable, name: string): Pick<LimitedQuery, 'query_timeout'> {
  const limit = LIMITS_MS[name]
  return limit !== undefined && db instanceof pg.Pool && waitsLimited(db) ? { query_timeout: limit } : {}
}
