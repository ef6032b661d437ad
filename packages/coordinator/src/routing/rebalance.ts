import { PROTOCOL } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import {
  type FreeNode,
  listFreeNodes,
  listUnstartedJobs,
  rebalanceNodes,
} from '@earshot/db/functions/leadership'
import { meets } from '@earshot/shared/lanes'
import { monotonicMs } from '@earshot/db/monotonic'

/**
 * Between two looks: what is queued on a node is a moment's work, unless something went otherwise
 * than measured.
 */
const EVERY_MS = 500

export type Rebalance = {
  /**
   * Asks nodes for what they have not started where others could start it; answers which. Looks no
   * more than twice a second, and not at all while nothing was given to anyone since it last saw
   * that no node holds more than it runs.
   */
  look(term: string, assigned?: number): Promise<string[]>
}

/**
 * Takes back what waits on a node while another one that can do it idles. What was started stays
 * where it is.
 */
export function createRebalance(db: Database, everyMs = EVERY_MS): Rebalance {
  let lookedAt = -Infinity
  // A leader that just began does not know what the one before gave.
  let since = 1
  return {
    async look(term, assigned = 1) {
      since += assigned
      if (since === 0 || monotonicMs() - lookedAt < everyMs) return []
      lookedAt = monotonicMs()
      const nodes = await listFreeNodes(db.pool, PROTOCOL)
      const crowded = nodes.filter(isCrowded)
      since = crowded.length
      if (crowded.length === 0 || nodes.length < 2) return []
      const waiting = await listUnstartedJobs(
        db.pool,
        crowded.map(({ id }) => id),
      )
      const asked = new Set(
        waiting
          .filter((needs) =>
            nodes.some(
              (node) => node.id !== needs.node && hasRoom(node, needs.role) && meets(node, needs),
            ),
          )
          .map(({ node }) => node),
      )
      if (asked.size > 0) await rebalanceNodes(db.pool, term, [...asked])
      return [...asked]
    },
  }
}

/** It holds more than it runs at once. */
const isCrowded = ({ load }: FreeNode): boolean =>
  Object.values(load).some(({ open, slots }) => open > slots)
const hasRoom = ({ free }: FreeNode, role: string): boolean => (free[role] ?? 0) > 0
