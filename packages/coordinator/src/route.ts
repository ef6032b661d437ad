import { PROTOCOL } from '@earshot/shared/contract'
import type { Database } from '@earshot/shared/db/database'
import { type FreeNode, type Lane, type LaneShare, listFreeNodes, listLanes, listNextJobs, routeJobs } from '@earshot/shared/db/functions/leadership'
import { meets } from '@earshot/shared/lanes'
import { type OpenLane, laneKey, place } from './place.ts'
import { roomAtMost } from './room.ts'
import { type Turns, createTurns } from './turns.ts'
import type { Waking } from './waking.ts'

/** Jobs assigned by one statement at most: longer statements would hold row locks for longer. */
const BATCH = 500
const AGED_BATCH = 50

/**
 * Routes everything that can be routed now. Matching is done here, in memory; the database sees lanes, ids and slots only.
 *
 * @param term the leadership under which to act; a stale one assigns nothing
 * @param turns whose turn it is between interactive and batch work; the leader keeps it from call to call
 * @param waking wakes the nodes that hear through Redis; without it the database wakes all
 * @returns how many jobs were assigned
 */
export async function routeAll(db: Database, term: string, turns: Turns = createTurns(), waking?: Waking): Promise<number> {
  const lanes = await listLanes(db.pool)
  if (lanes.length === 0) return 0
  return routeLanes(db, term, openLanes(lanes, await listFreeNodes(db.pool, PROTOCOL)), turns, waking)
}

/** The lanes that some node can run, each with those nodes. */
export function openLanes(lanes: readonly Lane[], nodes: FreeNode[]): OpenLane[] {
  return lanes.map((lane) => ({ ...lane, able: nodes.filter((node) => meets(node, lane)) })).filter(({ able }) => able.length > 0)
}

async function routeLanes(db: Database, term: string, lanes: OpenLane[], turns: Turns, waking?: Waking): Promise<number> {
  let open = lanes
  let total = 0
  for (;;) {
    const shares = open.map(shareOf).filter(({ most }) => most > 0)
    if (shares.length === 0) return total
    const byKey = new Map(open.map((lane) => [laneKey(lane), lane]))
    const holders = open.some(({ able }) => able.length > 1 && able.some((node) => node.shares.length > 0))
    const jobs = await listNextJobs(db.pool, shares, BATCH, holders)
    const aged = shares.filter((share) => byKey.get(laneKey(share))!.aged)
    const { given, full } = place({
      lanes: byKey, jobs, turns,
      aged: aged.length > 0 && jobs[0]?.class === 'interactive' ? await listNextJobs(db.pool, aged, AGED_BATCH, holders) : [],
    })
    const assigned = given.length === 0 ? [] : await routeJobs(db.pool, term, given, waking?.byRedis())
    waking?.assigned(assigned, given)
    total += assigned.length
    // Nothing of what was given: no longer leading, or somebody else has them all in hand.
    if (jobs.length < BATCH || (given.length > 0 && assigned.length === 0)) return total
    open = open.filter((lane) => !full.has(laneKey(lane)))
  }
}

/** What may be asked of a lane; the choosier go first among equals, or the others would fill the only nodes that can run them. */
function shareOf({ lane, class: jobClass, role, able }: OpenLane): LaneShare {
  const most = able.reduce((sum, node) => sum + roomAtMost(node, role, jobClass), 0)
  return { lane, class: jobClass, rank: able.length, most: Math.min(BATCH, most) }
}
