/** A time from the database as ISO 8601 in UTC; 'infinity', which a job enqueued by SQL may carry, stays a word. */
export function iso(time: Date | number): string {
  if (time instanceof Date) return time.toISOString()
  return time > 0 ? 'infinity' : '-infinity'
}

export const isoOrNull = (time: Date | number | null): string | null => (time === null ? null : iso(time))
