import { monotonicMs } from '@earshot/db/monotonic'

/** Of what was given longer ago it is not known whether this node had it already. */
const FRESH_S = 1
/**
 * The database's clock may be set, and by it no age can be told then. Set back or far ahead, it
 * makes messages come from the future, by more than clocks drift between two heartbeats. Set a
 * little ahead, it makes a message look younger than it is, but no older than the last heartbeat:
 * so that has to be no longer ago than what has ended is known for (local-queue.ts).
 */
const DRIFT_S = 0.2
const UNWATCHED_MS = 3000

/**
 * What a node knows of its own lease, all by this machine's clocks and what heartbeats were
 * answered with.
 */
export type Lease = {
  /**
   * A heartbeat was answered. `now`: the database's clock, in seconds since 1970; `askedAt`,
   * `askedOn`: monotonicMs() and Date.now() before it was sent.
   */
  renewed(beat: { now: number; askedAt: number; askedOn: number }): void
  /**
   * monotonicMs() until which it surely lasts: counted from before the last heartbeat that was
   * answered.
   */
  until(): number
  /**
   * Whether what the database gave at this moment (seconds since 1970, by its clock) was surely
   * given less than a second ago, and the lease has lasted since then: so no one else was given it.
   */
  isFresh(at: number): boolean
}

/**
 * @param ms how long the lease lasts
 * @param joinedAt monotonicMs() before the node registered, which began it
 * @param clock milliseconds that only grow
 * @param wall this machine's time of day in milliseconds: unlike the other clock it goes on while
 *   the machine sleeps
 * @example
 * const lease = createLease(15_000, monotonicMs())
 * lease.renewed({ now: 1795289198.3, askedAt: monotonicMs(), askedOn: Date.now() })
 */
export function createLease(
  ms: number,
  joinedAt: number,
  clock: () => number = monotonicMs,
  wall: () => number = Date.now,
): Lease {
  let until = joinedAt + ms
  let last: { now: number; askedAt: number; askedOn: number } | undefined
  /** By the database's clock: it has not ended since. */
  let since = Infinity
  return {
    renewed({ now, askedAt, askedOn }) {
      // It may have ended before the database renewed it.
      if (last === undefined || clock() >= until) since = now
      until = askedAt + ms
      last = { now, askedAt, askedOn }
    },
    until: () => until,
    isFresh(at) {
      if (last === undefined || at < since || clock() >= until) return false
      // As much time has passed for the database since it told its own, or less.
      const passedMs = Math.max(clock() - last.askedAt, wall() - last.askedOn)
      const ageS = last.now + passedMs / 1000 - at
      return passedMs < UNWATCHED_MS && ageS > -DRIFT_S && ageS < FRESH_S
    },
  }
}
