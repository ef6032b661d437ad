import type { ListedJob, LaneView, NodeView } from '@earshot/contract'

/** What `earshot top` shows, as `--json` prints it. Rates are of the last minute. */
export type TopState = {
  url: string
  /** The mesh's own clock, in milliseconds: how long ago things were is counted by it. */
  now: number
  nodes: NodeView[]
  lanes: LaneView[]
  /** Assigned and running ones, oldest first; at most 1,000. */
  jobs: ListedJob[]
  completed_per_min: number
  failed_per_min: number
  /** Whether the Redis of the coordinator that was asked answers; null where it has none. */
  redis: 'up' | 'away' | null
  /**
   * Why the mesh does not answer at the moment, in a sentence; what is shown is then what was known
   * last.
   */
  trouble: string | null
}

const MINUTE_MS = 60_000

export type Rates = {
  note(type: string, at: number): void
  read(now: number): Pick<TopState, 'completed_per_min' | 'failed_per_min'>
}

/**
 * Counts how many jobs ended in the last minute, in cells of a second, so that its cost does not
 * depend on how many.
 */
export function createRates(): Rates {
  const cells = new Map<number, { completed: number; failed: number }>()
  const forget = (now: number) => {
    for (const second of cells.keys()) if (second * 1000 <= now - MINUTE_MS) cells.delete(second)
  }
  return {
    note(type, at) {
      const second = Math.floor(at / 1000)
      const cell = cells.get(second) ?? { completed: 0, failed: 0 }
      if (type === 'job.completed') cell.completed += 1
      else if (type === 'job.failed') cell.failed += 1
      else return
      cells.set(second, cell)
      forget(at)
    },
    read(now) {
      forget(now)
      const sum = (what: 'completed' | 'failed') =>
        [...cells.values()].reduce((total, cell) => total + cell[what], 0)
      return { completed_per_min: sum('completed'), failed_per_min: sum('failed') }
    },
  }
}
