import { monotonicMs } from '@earshot/db/monotonic'

/** Of so many starts in a role, one is for batch work that has waited too long. */
const ONE_IN = 10
/**
 * Where none has waited too long, the database is asked again after this time: an answer costs a
 * busy leader half a millisecond.
 */
const REST_MS = 1_000

export type BatchAging = {
  /** Whether the next start in this role is for batch work that has waited too long. */
  isDue(role: string): boolean
  /** Whether to ask which batch work has waited too long. */
  mayAsk(role: string): boolean
  /** None in this role has. */
  foundNone(role: string): void
  /** A job started that had not waited too long. */
  count(role: string): void
  /** Batch work that had waited too long started. */
  reset(role: string): void
}

/**
 * Counts the starts of other jobs, by role, so that batch work that has waited too long gets its
 * turn. In memory: a new leader begins with a turn for it.
 *
 * @example
 * const aging = createBatchAging()
 * if (aging.isDue('tts')) start(oldest)
 */
export function createBatchAging(now: () => number = monotonicMs): BatchAging {
  const counts = new Map<string, number>()
  const rests = new Map<string, number>()
  const of = (role: string) => counts.get(role) ?? ONE_IN - 1
  const isDue = (role: string) => of(role) >= ONE_IN - 1
  return {
    isDue,
    mayAsk: (role) => isDue(role) && now() >= (rests.get(role) ?? -Infinity),
    foundNone: (role) => void rests.set(role, now() + REST_MS),
    count: (role) => void counts.set(role, of(role) + 1),
    reset: (role) => void counts.set(role, 0),
  }
}
