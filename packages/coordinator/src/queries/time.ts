import { type Queryable, call } from '@earshot/db/functions/call'

/**
 * A time from the database as ISO 8601 in UTC; 'infinity', which a job enqueued by SQL may carry,
 * stays a word.
 */
export function iso(time: Date | number): string {
  if (time instanceof Date) return time.toISOString()
  return time > 0 ? 'infinity' : '-infinity'
}

export const isoOrNull = (time: Date | number | null): string | null =>
  time === null ? null : iso(time)

/** What time it is by the database's clock, the one that counts. */
export async function readClock(db: Queryable): Promise<string> {
  const [row] = await call<{ now: Date }>(db, 'http_clock', 'select clock_timestamp() as now', [])
  return iso(row!.now)
}
