import { PROTOCOL } from '@earshot/shared/contract'
import type { Database } from '@earshot/shared/db/database'
import { type FreeNode, type Lane, type LaneShare, type Look, type NextJob, listNextJobs, look, routeJobs } from '@earshot/shared/db/functions/leadership'
import { meets } from '@earshot/shared/lanes'
import { type OpenLane, laneKey, place } from './place.ts'
import { roomAtMost } from './room.ts'
import { routeAlone } from './route-alone.ts'
import { type Turns, createTurns } from './turns.ts'
import type { Waking } from './waking.ts'

/** Jobs assigned by one statement at most: longer statements would hold row locks for longer. */
const BATCH = 500
const AGED_BATCH = 50
/** So many of a lane's next jobs come with the look itself: one that comes alone is there with one round trip less. */
const GLANCE = 8

/**
 * Routes everything that can be routed now, jobs that must run alone first, or the nodes that they need empty would be filled anew. Matching is done here, in memory; the database sees lanes, ids and slots only.
 *
 * @param term the leadership under which to act; a stale one assigns nothing
 * @param turns whose turn it is between interactive and batch work; the leader keeps it from call to call
 * @param waking wakes the nodes that hear through Redis; without it the database wakes all
 * @param onNodes told how many nodes the look was over; not at all when nothing waits
 * @returns how many jobs were assigned
 */
export async function routeAll(db: Database, term: string, turns: Turns = createTurns(), waking?: Waking, onNodes?: (count: number) => void): Promise<number> {
  const seen = await look(db.pool, PROTOCOL, GLANCE)
  if (seen === null) return 0
  onNodes?.(seen.nodes.length)
  if (!seen.alone) return routeSeen(db, term, seen, turns, waking)
  const alone = await routeAlone(db, term)
  const rest = await look(db.pool, PROTOCOL, GLANCE)
  return alone + (rest === null ? 0 : await routeSeen(db, term, rest, turns, waking))
}

function routeSeen(db: Database, term: string, { lanes, nodes }: Look, turns: Turns, waking?: Waking): Promise<number> {
  return routeLanes(db, term, openLanes(lanes, nodes), turns, waking, new Map(lanes.map((lane) => [laneKey(lane), lane.jobs])))
}

/** The lanes that some node can run, each with those nodes. */
export function openLanes(lanes: readonly Lane[], nodes: FreeNode[]): OpenLane[] {
  return lanes.map((lane) => ({ ...lane, able: nodes.filter((node) => meets(node, lane)) })).filter(({ able }) => able.length > 0)
}

async function routeLanes(db: Database, term: string, lanes: OpenLane[], turns: Turns, waking?: Waking, glanced?: Glanced): Promise<number> {
  let open = lanes
  let known = glanced
  let total = 0
  for (;;) {
    const shares = open.map(shareOf).filter(({ most }) => most > 0)
    if (shares.length === 0) return total
    const byKey = new Map(open.map((lane) => [laneKey(lane), lane]))
    const holders = open.some(({ able }) => able.length > 1 && able.some((node) => node.shares.length > 0))
    const jobs = (holders ? undefined : fromGlance(shares, known)) ?? await listNextJobs(db.pool, shares, BATCH, holders)
    known = undefined
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

/** By {@link laneKey}, the jobs that came with the look. */
type Glanced = ReadonlyMap<string, NextJob[] | null>

/** The next jobs as list_next_jobs would give them, where the look showed all that these lanes have or may get; undefined otherwise. */
function fromGlance(shares: readonly LaneShare[], known: Glanced | undefined): NextJob[] | undefined {
  const found: { job: NextJob; rank: number }[] = []
  for (const share of shares) {
    const jobs = known?.get(laneKey(share))
    if (jobs === null || jobs === undefined || (jobs.length === GLANCE && share.most > GLANCE)) return undefined
    for (const job of jobs.slice(0, share.most)) found.push({ job, rank: share.rank })
  }
  // "interactive" sorts above "batch".
  return found.sort(({ job: a, rank: ra }, { job: b, rank: rb }) =>
    (a.class === b.class ? 0 : a.class > b.class ? -1 : 1) || b.priority - a.priority || ra - rb || a.id - b.id).map(({ job }) => job)
}

/** What may be asked of a lane; the choosier go first among equals, or the others would fill the only nodes that can run them. */
function shareOf({ lane, class: jobClass, role, able }: OpenLane): LaneShare {
  const most = able.reduce((sum, node) => sum + roomAtMost(node, role, jobClass), 0)
  return { lane, class: jobClass, rank: able.length, most: Math.min(BATCH, most) }
}
