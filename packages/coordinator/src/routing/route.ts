import { PROTOCOL } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import {
  type FreeNode,
  type Lane,
  type LaneShare,
  type Look,
  type NextJob,
  listAgedJobs,
  listNextJobs,
  routingSnapshot,
  routeJobs,
  routeOrSnapshot,
} from '@earshot/db/functions/leadership'
import { malformed, meets } from '@earshot/shared/lanes'
import { type OpenLane, laneKey, choosePlacements } from './placement.ts'
import { type PlacementCache, createPlacementCache, isIdle } from './placement-cache.ts'
import { maxCapacity } from './capacity.ts'
import { routeIsolatedJobs } from './isolate.ts'
import { type BatchAging, createBatchAging } from './batch-aging.ts'
import type { NodeWaker } from './wake-nodes.ts'

/** Jobs assigned by one statement at most: longer statements would hold row locks for longer. */
const BATCH = 500
const AGED_BATCH = 50
/**
 * So many of a lane's next jobs come with the look itself: one that comes alone is there with one
 * round trip less.
 */
const GLANCE = 8

/**
 * Looks in a row, where there are more lanes than one is over: then others get their turn, and the
 * next goes on from there.
 */
const PAGES = 10

/** What the leader keeps from look to look. */
export type Routing = {
  /** Acts under this leadership; a stale one assigns nothing. */
  term: string
  /** Whose turn it is between interactive and batch work. */
  batchAging?: BatchAging
  placementCache?: PlacementCache
  /** Where the next look begins: of very many lanes each gets its turn. */
  cursor?: { after: string | null }
  /** Wakes the nodes that hear through Redis; without it the database wakes all. */
  waking?: NodeWaker | undefined
  /**
   * Told over how many nodes a look was; not at all when nothing waits, or what waits went by
   * precedent.
   */
  onNodes?: (count: number) => void
  /** Told of a lane whose needs cannot be read: its jobs wait, and all others are routed. */
  onMalformed?: (lane: Lane, faults: string[]) => void
}

/**
 * Routes everything that can be routed now, jobs that must run alone first, or the nodes that they
 * need empty would be filled again. Matching is done here, in memory; the database sees lanes, ids
 * and slots only.
 *
 * @returns how many jobs were assigned
 * @example
 * const routing = { term, batchAging: createBatchAging(), placementCache: createPlacementCache() }
 * await routeAll(db, routing)
 */
export async function routeAll(
  db: Database,
  {
    term,
    batchAging = createBatchAging(),
    placementCache = createPlacementCache(),
    cursor = { after: null },
    waking,
    onNodes,
    onMalformed,
  }: Routing,
): Promise<number> {
  const seen = await routeOrSnapshot(
    db.pool,
    term,
    PROTOCOL,
    GLANCE,
    placementCache.now(),
    waking?.byRedis(),
    cursor.after,
  )
  if (seen === null) return 0
  if ('assigned' in seen) {
    waking?.assigned(seen.assigned)
    return seen.assigned.length
  }
  onNodes?.(seen.nodes.length)
  const rest = { term, batchAging, placementCache, waking, onMalformed }
  let total = seen.alone ? await routeIsolatedJobs(db, term) : 0
  let left: Look | null = seen.alone
    ? await routingSnapshot(db.pool, PROTOCOL, GLANCE, cursor.after)
    : seen
  for (let page = 1; left !== null; page += 1) {
    cursor.after = left.after
    total += await routeSeen(db, left, rest)
    if (cursor.after === null || page === PAGES) break
    left = await routingSnapshot(db.pool, PROTOCOL, GLANCE, cursor.after)
  }
  return total
}

type Kept = Required<Omit<Routing, 'onNodes' | 'onMalformed' | 'waking' | 'cursor'>> & {
  waking: NodeWaker | undefined
  onMalformed: Routing['onMalformed']
}

function routeSeen(db: Database, { lanes, nodes }: Look, kept: Kept): Promise<number> {
  for (const lane of lanes) {
    const faults = malformed(lane.requires)
    if (faults.length > 0) kept.onMalformed?.(lane, faults)
  }
  return routeLanes(
    db,
    openLanes(lanes, nodes),
    kept,
    new Map(lanes.map((lane) => [laneKey(lane), lane.jobs])),
  )
}

/** The lanes that some node can run, each with those nodes. */
export function openLanes(lanes: readonly Lane[], nodes: FreeNode[]): OpenLane[] {
  return lanes
    .map((lane) => ({ ...lane, able: nodes.filter((node) => meets(node, lane)) }))
    .filter(({ able }) => able.length > 0)
}

async function routeLanes(
  db: Database,
  lanes: OpenLane[],
  { term, batchAging, placementCache, waking }: Kept,
  glanced: Glanced,
): Promise<number> {
  let open = lanes
  let known: Glanced | undefined = glanced
  let total = 0
  for (;;) {
    const shares = open.map(shareOf).filter(({ most }) => most > 0)
    if (shares.length === 0) return total
    const byKey = new Map(open.map((lane) => [laneKey(lane), lane]))
    const holders = open.some(
      ({ able }) => able.length > 1 && able.some((node) => node.shares.length > 0),
    )
    const jobs =
      (holders ? undefined : fromGlance(shares, known)) ??
      (await listNextJobs(db.pool, shares, BATCH, holders))
    known = undefined
    const idle = jobs.length === 1 ? idleLane(byKey.get(laneKey(jobs[0]!))!) : undefined
    const { given, full } = choosePlacements({
      lanes: byKey,
      jobs,
      batchAging,
      aged: await agedJobs(db, { shares, jobs, byKey, batchAging, holders }),
    })
    const assigned =
      given.length === 0 ? [] : await routeJobs(db.pool, term, given, waking?.byRedis())
    waking?.assigned(assigned)
    const [one] = assigned
    if (idle !== undefined && one !== undefined)
      placementCache.note(
        idle,
        idle.able.find(({ id }) => id === one.node)!,
      )
    total += assigned.length
    // Nothing of what was given: no longer leading, or someone else has them all in hand.
    if (jobs.length < BATCH || (given.length > 0 && assigned.length === 0)) return total
    open = open.filter((lane) => !full.has(laneKey(lane)))
  }
}

type Seen = {
  shares: readonly LaneShare[]
  jobs: readonly NextJob[]
  byKey: ReadonlyMap<string, OpenLane>
  batchAging: BatchAging
  holders: boolean
}

/**
 * Batch jobs that have waited too long. Asked for only where a role's turn has come and not all
 * that waits can start now.
 */
async function agedJobs(
  db: Database,
  { shares, jobs, byKey, batchAging, holders }: Seen,
): Promise<NextJob[]> {
  const crowded = new Set(
    shares
      .filter((share) => jobs.filter((job) => laneKey(job) === laneKey(share)).length >= share.most)
      .map((share) => byKey.get(laneKey(share))!.role),
  )
  const lanes = shares.filter((share) => {
    const { role } = byKey.get(laneKey(share))!
    return (
      share.class === 'batch' &&
      batchAging.mayAsk(role) &&
      (crowded.has(role) || jobs.length === BATCH || jobs[0]?.class === 'interactive')
    )
  })
  if (lanes.length === 0) return []
  const aged = await listAgedJobs(db.pool, lanes, AGED_BATCH, holders)
  const found = new Set(aged.map((job) => byKey.get(laneKey(job))!.role))
  for (const share of lanes) {
    const { role } = byKey.get(laneKey(share))!
    if (!found.has(role)) batchAging.foundNone(role)
  }
  return aged
}

/** The lane, if all nodes that can run it are idle: what is chosen now is the best there is. */
const idleLane = (lane: OpenLane): OpenLane | undefined =>
  lane.able.every(isIdle) ? lane : undefined

/** By {@link laneKey}, the jobs that came with the look. */
type Glanced = ReadonlyMap<string, NextJob[] | null>

/**
 * The next jobs as list_next_jobs would give them, where the look showed all that these lanes have
 * or may get; undefined otherwise.
 */
function fromGlance(
  shares: readonly LaneShare[],
  known: Glanced | undefined,
): NextJob[] | undefined {
  const found: { job: NextJob; rank: number }[] = []
  for (const share of shares) {
    const jobs = known?.get(laneKey(share))
    if (jobs === null || jobs === undefined || (jobs.length === GLANCE && share.most > GLANCE))
      return undefined
    for (const job of jobs.slice(0, share.most)) found.push({ job, rank: share.rank })
  }
  // "interactive" sorts above "batch".
  return found
    .sort(
      ({ job: a, rank: ra }, { job: b, rank: rb }) =>
        (a.class === b.class ? 0 : a.class > b.class ? -1 : 1) ||
        b.priority - a.priority ||
        ra - rb ||
        a.id - b.id,
    )
    .map(({ job }) => job)
}

/**
 * What may be asked of a lane; the choosier go first among equals, or the others would fill the
 * only nodes that can run them.
 */
function shareOf({ lane, class: jobClass, role, able }: OpenLane): LaneShare {
  const most = able.reduce((sum, node) => sum + maxCapacity(node, role, jobClass), 0)
  return { lane, class: jobClass, rank: able.length, most: Math.min(BATCH, most) }
}
