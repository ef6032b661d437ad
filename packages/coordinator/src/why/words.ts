/**
 * How long, for people: `0.4 s`, `12 s`, `3 min`, `2 h`, `5 d`; rounded to one unit, since it is an
 * estimate or long ago.
 */
export function span(seconds: number): string {
  if (seconds < 9.95) return `${Math.max(0, Math.round(seconds * 10) / 10)} s`
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`
  return seconds < 36 * 3600
    ? `${Math.round(seconds / 3600)} h`
    : `${Math.round(seconds / 86_400)} d`
}

/** `1 job`, `3 jobs`; counts stop at 10,000 a lane. */
export const jobs = (count: number): string =>
  count >= 10_000 ? 'more than 10,000 jobs' : `${count} ${count === 1 ? 'job' : 'jobs'}`

/** `a`, `a and b`, `a, b and c`, and no more than five of them. */
export function list(items: readonly string[]): string {
  const shown = items.length > 5 ? [...items.slice(0, 4), `${items.length - 4} more`] : items
  return shown.length < 2
    ? (shown[0] ?? '')
    : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`
}

/** A sentence that ends with a stop, once. */
export const stopped = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)
