import type { FreeNode, Lane, Precedent } from '@earshot/db/functions/leadership'
import { monotonicMs } from '@earshot/db/monotonic'
import { laneKey } from './placement.ts'

/** A faster node may have joined since, or one may have been measured again. */
const HOLDS_MS = 5000
/** Of so many lanes; more would cost each look more than they spare. */
const MOST = 16

/**
 * Where a job that comes alone goes without a look over all nodes: to where such a job went a
 * moment ago, when all that could run it were idle.
 */
export type PlacementCache = {
  /** Those that still hold. */
  now(): Precedent[]
  /** Notes that the only job of a look went to a node; all of the lane's nodes were idle. */
  note(lane: Lane, node: FreeNode): void
}

/**
 * Keeps what was chosen lately, by lane and class. sql/functions/route_by_cached_placement.sql
 * looks whether the node is still there, as it was, and idle.
 *
 * @param clock milliseconds that only grow
 * @example
 * const placementCache = createPlacementCache()
 * placementCache.note(lane, node)
 * placementCache.now() // [{ lane, class, node, incarnation, roles, tags }]
 */
export function createPlacementCache(clock: () => number = monotonicMs): PlacementCache {
  const kept = new Map<string, { precedent: Precedent; until: number }>()
  return {
    now() {
      for (const [key, { until }] of kept) if (until <= clock()) kept.delete(key)
      return [...kept.values()].map(({ precedent }) => precedent)
    },
    note(lane, { id, incarnation, roles, tags }) {
      const key = laneKey(lane)
      kept.delete(key)
      if (kept.size >= MOST) kept.delete(kept.keys().next().value!)
      kept.set(key, {
        precedent: { lane: lane.lane, class: lane.class, node: id, incarnation, roles, tags },
        until: clock() + HOLDS_MS,
      })
    },
  }
}

/** Whether a node has nothing at all in hand. */
export const isIdle = ({ load }: Pick<FreeNode, 'load'>): boolean =>
  Object.values(load).every(({ open }) => open === 0)
