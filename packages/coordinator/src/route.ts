import { PROTOCOL } from '@earshot/shared/contract'
import type { Database } from '@earshot/shared/db/database'
import { type FreeNode, type Lane, type Slot, listFreeNodes, listLanes, routeJobs } from '@earshot/shared/db/functions/leadership'
import { meets } from '@earshot/shared/lanes'

/** Slots filled by one statement at most: longer statements would hold row locks for longer. */
const BATCH = 500

/**
 * Routes everything that can be routed now. Matching is done here, in memory; the database sees lanes and slots only.
 *
 * @param term the leadership under which to act; a stale one assigns nothing
 * @returns how many jobs were assigned
 */
export async function routeAll(db: Database, term: string): Promise<number> {
  const lanes = await listLanes(db.pool)
  if (lanes.length === 0) return 0
  const nodes = await listFreeNodes(db.pool, PROTOCOL)
  let total = 0
  for (const group of groupLanes(lanes, nodes)) {
    total += await routeGroup(db, term, group)
  }
  return total
}

/** Lanes of one role that the same nodes can run: one statement serves them all, best job first. */
export type LaneGroup = { role: string; lanes: string[]; nodes: FreeNode[] }

/** Groups lanes by role and by the nodes that meet them; lanes that no node meets are left out. */
export function groupLanes(lanes: Lane[], nodes: FreeNode[]): LaneGroup[] {
  const groups = new Map<string, LaneGroup>()
  for (const lane of lanes) {
    const able = nodes.filter((node) => meets(node, lane))
    if (able.length === 0) continue
    const key = JSON.stringify([lane.role, able.map((node) => node.id)])
    const group = groups.get(key)
    if (group) group.lanes.push(lane.lane)
    else groups.set(key, { role: lane.role, lanes: [lane.lane], nodes: able })
  }
  // The choosier lanes go first, or the others would fill the only nodes that can run them.
  return [...groups.values()].sort((a, b) => a.nodes.length - b.nodes.length)
}

async function routeGroup(db: Database, term: string, group: LaneGroup): Promise<number> {
  let total = 0
  for (;;) {
    const slots = spread(group.nodes, group.role, BATCH)
    if (slots.length === 0) return total
    const given = await routeJobs(db.pool, term, group.lanes, slots)
    for (const { node } of given) {
      const taker = group.nodes.find((one) => one.id === node)
      if (taker) taker.free[group.role] = (taker.free[group.role] ?? 0) - 1
    }
    total += given.length
    if (given.length < slots.length) return total
  }
}

/** Up to `limit` free slots of a role, the emptiest node first, so that work spreads before it piles up. */
export function spread(nodes: FreeNode[], role: string, limit: number): Slot[] {
  const left = nodes.map((node) => ({ node: node.id, incarnation: node.incarnation, free: node.free[role] ?? 0 }))
  const slots: Slot[] = []
  while (slots.length < limit) {
    const emptiest = left.reduce((best, one) => (one.free > best.free ? one : best), { node: '', incarnation: 0, free: 0 })
    if (emptiest.free <= 0) break
    emptiest.free -= 1
    slots.push({ node: emptiest.node, incarnation: emptiest.incarnation })
  }
  return slots
}
