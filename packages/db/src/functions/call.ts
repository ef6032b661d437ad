import pg from 'pg'
import { EarshotError } from '@earshot/contract'
import { monotonicMs } from '../monotonic.ts'
import { databaseError } from '../errors.ts'
import { type LimitedQuery, isUnanswered, waitsLimited } from '../pool.ts'

/** A pool, or one of its connections inside a transaction. */
export type Queryable = Pick<pg.Pool, 'query'>

/** What our SQL functions raise for a request that cannot be right. */
const INVALID_PARAMETER = '22023'
/** An idempotency key belongs to other work: raised by find_by_keys. */
const KEY_REUSED = 'EK001'
/**
 * A prepared statement is not there, or there already: a transaction pooler gave us another server
 * connection than before.
 */
const STATEMENT_ELSEWHERE = new Set(['26000', '42P05'])
/** A schema update changed what a function returns, after this connection had prepared the call. */
const isStale = (err: unknown) =>
  err instanceof pg.DatabaseError && err.code === '0A000' && err.routine === 'RevalidateCachedQuery'
/**
 * By function: how often its statement went stale. A new name makes each connection prepare it
 * again.
 */
const renewals = new Map<string, number>()
/** A deadlock, or a serialization failure: undone as a whole, and no fault of this statement. */
const UNDONE = new Set(['40P01', '40001'])
/** Where prepared statements do not last: their names are sent no more. */
const poolers = new WeakSet<Queryable>()

/**
 * Milliseconds; less than half of a lease, so that after a dead connection there is time for
 * another one.
 */
const SHORT_MS = 5_000
/**
 * Milliseconds, as long as from one to the next: a node that waits on a dead connection is to be
 * heard of before it counts as silent.
 */
const HEARTBEAT_MS = 2_000
/**
 * Milliseconds; a leader whose routing waits on a dead connection is to lose no more time than a
 * dead leader costs.
 */
const ROUTING_MS = 1_500
/** No limit grows beyond this many times its own: a database that slow is as good as none. */
const MOST_PATIENT = 32
/**
 * How long the answer of a call is first waited for on a server; then its connection counts as
 * dead. Each time in a row that none comes in time doubles it, until one comes soon: a slow
 * database is only slow. What is not listed may take longer, and has the pool's own limit.
 */
export const LIMITS_MS: Record<string, number> = {
  acquire_leadership: 1_000,
  release_leadership: 1_000,
  routing_snapshot: ROUTING_MS,
  route_or_snapshot: ROUTING_MS,
  list_lanes: ROUTING_MS,
  list_free_nodes: ROUTING_MS,
  list_next_jobs: ROUTING_MS,
  list_aged_jobs: ROUTING_MS,
  route_jobs: ROUTING_MS,
  route_job: ROUTING_MS,
  sweep: ROUTING_MS,
  list_unstarted_jobs: ROUTING_MS,
  rebalance_nodes: ROUTING_MS,
  relay_events: ROUTING_MS,
  list_isolated_jobs: ROUTING_MS,
  list_isolation_nodes: ROUTING_MS,
  route_isolated_job: ROUTING_MS,
  begin_answer: SHORT_MS,
  renew_waiters: SHORT_MS,
  cancel_unawaited_jobs: SHORT_MS,
  heartbeat: HEARTBEAT_MS,
  take_assignments: SHORT_MS,
  start_jobs: SHORT_MS,
  hand_back_jobs: SHORT_MS,
  drain_node: SHORT_MS,
  deregister_node: SHORT_MS,
  node_channel: SHORT_MS,
  lease_seconds: SHORT_MS,
  set_wake_transport: SHORT_MS,
  wake_node_by_notify: SHORT_MS,
  touch_coordinator: SHORT_MS,
  list_coordinators: SHORT_MS,
}
/** Leadership expires after 1.5 s: a later answer to these is worth nothing. */
const IMPATIENT = new Set(['acquire_leadership', 'release_leadership'])
/**
 * By pool and function: how many times its own limit the next answer is waited for, where the last
 * did not come in time.
 */
const patience = new WeakMap<Queryable, Map<string, number>>()

/**
 * Runs one statement that calls a function of schema earshot and returns its rows. It is prepared
 * under its name, once a connection, until a transaction pooler shows that it keeps no such names.
 * On a server its answer is waited for only so long (LIMITS_MS); one that the server undid for the
 * sake of others, or whose plan went stale in a schema update, is sent once more.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST with the function's own sentence when it refuses its
 *   arguments; EARSHOT_DATABASE and its kin when the database cannot be reached
 */
export function call<Row extends pg.QueryResultRow>(
  db: Queryable,
  name: string,
  text: string,
  values: unknown[],
): Promise<Row[]> {
  // Inside a transaction only all of it can be tried again, by the caller that began it.
  return send<Row>(db, name, { text, values, ...limitOf(db, name) }, db instanceof pg.Pool ? 1 : 0)
}

async function send<Row extends pg.QueryResultRow>(
  db: Queryable,
  name: string,
  query: LimitedQuery,
  again: number,
): Promise<Row[]> {
  const named = !poolers.has(db)
  const renewal = renewals.get(name)
  try {
    const sent = monotonicMs()
    const { rows } = await db.query<Row>(named ? { ...query, name: statementName(name) } : query)
    if (monotonicMs() - sent < (LIMITS_MS[name] ?? 0) / 2) patience.get(db)?.delete(name)
    return rows
  } catch (err) {
    if (isUnanswered(err)) growPatience(db, name)
    const code = err instanceof Error && 'code' in err ? String(err.code) : ''
    // Refused before it ran, so it may be sent again. Asked of this very query: another one may
    // have found the pooler out meanwhile.
    if (STATEMENT_ELSEWHERE.has(code) && named) {
      poolers.add(db)
      return send(db, name, query, again)
    }
    if (isStale(err) && named) {
      if (renewals.get(name) === renewal) renewals.set(name, (renewal ?? 0) + 1)
      if (again > 0) return send(db, name, query, again - 1)
    }
    if (UNDONE.has(code) && again > 0) return send(db, name, query, again - 1)
    if (code === INVALID_PARAMETER)
      throw new EarshotError('EARSHOT_BAD_REQUEST', (err as Error).message, { cause: err })
    if (code === KEY_REUSED)
      throw new EarshotError('EARSHOT_KEY_REUSED', (err as Error).message, {
        field: 'idempotency_key',
        hint: 'Use a new key for other work',
        cause: err,
      })
    throw databaseError(err)
  }
}

function statementName(name: string): string {
  const renewal = renewals.get(name)
  return renewal === undefined ? name : `${name}_${renewal}`
}

function limitOf(db: Queryable, name: string): Pick<LimitedQuery, 'query_timeout'> {
  const limit = LIMITS_MS[name]
  return limit !== undefined && db instanceof pg.Pool && waitsLimited(db)
    ? { query_timeout: limit * (patience.get(db)?.get(name) ?? 1) }
    : {}
}

function growPatience(db: Queryable, name: string): void {
  if (IMPATIENT.has(name)) return
  const ofPool = patience.get(db) ?? new Map<string, number>()
  patience.set(db, ofPool.set(name, Math.min((ofPool.get(name) ?? 1) * 2, MOST_PATIENT)))
}
