/**
 * Everything in which the embedded database differs from a server: what it decides for the rest of
 * the code, and the list that docs/embedded-database.md shows to people (a test keeps the two
 * equal).
 */

/** More connections only wait for each other: there is one session underneath. */
export const EMBEDDED_POOL_SIZE = 4

/**
 * Seconds to wait for a free connection; on a server 10, but here all wait while a vector index is
 * built.
 */
export const EMBEDDED_CONNECT_S = 60

/**
 * PostgreSQL's own timeout for idle transactions hangs the engine; the link keeps watch instead.
 */
export const EMBEDDED_BEGIN = 'begin'

/** Seconds; statement_timeout is ignored, so the whole engine is ended and opened again. */
export const EMBEDDED_WATCHDOG_S = 300

export type Difference = { what: string; instead: string }

export const DIFFERENCES: readonly Difference[] = [
  {
    what:
      'One process. A second one that opened the same folder would silently lose rows, so a ' +
      'lock file keeps it out.',
    instead:
      'Other programs talk to the running mesh over HTTP. Several processes need a server ' +
      '(`DATABASE_URL`).',
  },
  {
    what:
      'Nothing is flushed to the disk. `kill -9` loses nothing; a power cut can lose the last ' +
      'seconds.',
    instead: 'Where that matters, use a server.',
  },
  {
    what: 'One statement at a time. A transaction keeps the database until it ends.',
    instead: 'Keep transactions short. One that sits idle for 60 s is rolled back.',
  },
  {
    what:
      'All connections share one session. SET without LOCAL, temporary tables, PREPARE as SQL, ' +
      'DEALLOCATE ALL and DISCARD ALL act on all of them, and session advisory locks exclude no ' +
      'one.',
    instead:
      'Use SET LOCAL, transaction-level advisory locks, and named statements of the protocol, ' +
      'which are kept apart.',
  },
  {
    what:
      'There is no leader, no doorbell and no sweep of leases. Process and database die ' +
      'together, and the new incarnation heals. Every change notifies.',
    instead: 'On a server the same functions do all of it.',
  },
  {
    what: 'COPY … FROM STDIN is refused (0A000).',
    instead: 'Insert sets with unnest.',
  },
  {
    what:
      '`statement_timeout` is ignored, a running statement cannot be cancelled, and ' +
      '`idle_in_transaction_session_timeout` hangs the engine.',
    instead:
      'A statement that runs for 300 s ends the engine. Everything in hand fails, and the ' +
      'database opens again in about a second.',
  },
  {
    what: 'No autovacuum.',
    instead: 'Every minute Earshot vacuums the tables that need it.',
  },
  {
    what:
      'No ICU collations, no extensions but pgvector and PL/pgSQL, no background or parallel ' +
      'workers. The time zone is UTC.',
    instead: 'Use a server.',
  },
  {
    what:
      'Slower: about 2,900 inserts a second against 4,600 on a server; vector search 0.9 ms ' +
      'against 0.3; building a vector index takes four times as long (two cores, PGlite 0.5.16, ' +
      'PostgreSQL 15).',
    instead: 'It runs in its own thread, so the program stays responsive.',
  },
]
