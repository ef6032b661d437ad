import type pg from 'pg'
import type { Logger as Log } from 'pino'

const EVERY_MS = 60_000

// The thresholds of PostgreSQL's own autovacuum: 50 rows and a fifth of the table, or a tenth for
// statistics.
const NEEDY = `
  select format('%I.%I', s.schemaname, s.relname) as name
    from pg_stat_user_tables s join pg_class c on c.oid = s.relid
   where s.n_dead_tup > 50 + 0.2 * greatest(c.reltuples, 0)
      or s.n_mod_since_analyze > 50 + 0.1 * greatest(c.reltuples, 0)
   order by 1`

/**
 * Vacuums and analyzes the tables that changed enough, one after the other, and returns their
 * names. The embedded database has no autovacuum: without this the hot tables grow forever, and
 * plans are made without statistics.
 */
export async function vacuumNeedy(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(NEEDY)
  for (const { name } of rows) await pool.query(`vacuum (analyze) ${name}`)
  return rows.map(({ name }) => name)
}

/** Does so every minute, until the returned function is called, which waits for a run in hand. */
export function keepVacuumed(pool: pg.Pool, log?: Log): () => Promise<void> {
  let running: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    running = running
      .then(() => vacuumNeedy(pool))
      .then(
        (names) => void (names.length > 0 && log?.debug({ tables: names }, 'Tables were vacuumed')),
        (err: unknown) => log?.warn({ err }, 'Tables could not be vacuumed'),
      )
  }, EVERY_MS)
  timer.unref()
  return () => {
    clearInterval(timer)
    return running
  }
}
