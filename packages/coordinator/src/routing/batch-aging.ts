/** Of so many starts in a role, one is for batch work that has waited too long. */
const ONE_IN = 10

export type BatchAging = {
  /** Whether the next start in this role is for batch work that has waited too long. */
  isDue(role: string): boolean
  /** An interactive job started. */
  count(role: string): void
  /** Batch work that had waited too long started. */
  reset(role: string): void
}

/** Counts the starts of interactive jobs, by role, so that batch work that has waited too long gets its turn. In memory: a new leader begins with a turn for batch. */
export function createBatchAging(): BatchAging {
  const counts = new Map<string, number>()
  const of = (role: string) => counts.get(role) ?? ONE_IN - 1
  return {
    isDue: (role) => of(role) >= ONE_IN - 1,
    count: (role) => void counts.set(role, of(role) + 1),
    reset: (role) => void counts.set(role, 0),
  }
}
