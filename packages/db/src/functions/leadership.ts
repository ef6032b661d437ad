import type { JobClass, Requires } from '@earshot/contract'
import { type Queryable, call } from './call.ts'
import type { GivenToNode } from './jobs.ts'
import type { Measured } from './nodes.ts'

/**
 * Takes or renews leadership; returns the term, or null while another coordinator leads. A term is
 * text: it may be any bigint.
 */
export async function acquireLeadership(
  db: Queryable,
  holder: string,
  force: boolean,
): Promise<string | null> {
  return (await renewLeadership(db, holder, force)).term
}

/** As {@link acquireLeadership}; `now` is the database's clock, in seconds since 1970. */
export async function renewLeadership(
  db: Queryable,
  holder: string,
  force: boolean,
): Promise<{ term: string | null; now: number }> {
  const [row] = await call<{ term: string | null; now: number }>(
    db,
    'acquire_leadership',
    'select earshot.acquire_leadership($1, $2)::text as term, extract(epoch from clock_timestamp())::float8 as now',
    [holder, force],
  )
  return row!
}

/** Gives leadership up at an orderly stop. */
export async function releaseLeadership(db: Queryable, holder: string): Promise<void> {
  await call(db, 'release_leadership', 'select earshot.release_leadership($1)', [holder])
}

/** Says that this coordinator is there and where workers reach it. */
export async function touchCoordinator(
  db: Queryable,
  who: { id: string; url: string; version: string; protocol: number },
): Promise<void> {
  await call(db, 'touch_coordinator', 'select earshot.touch_coordinator($1, $2, $3, $4)', [
    who.id,
    who.url,
    who.version,
    who.protocol,
  ])
}

/**
 * A lane that has work of a class; `lane` is a 64-bit key, as text. `aged`: its next job has waited
 * longer than batch work is to.
 */
export type Lane = {
  lane: string
  class: JobClass
  role: string
  requires: Requires
  aged: boolean
}

/** The lanes that have work, with what they need: one entry for each lane and class. */
export function listLanes(db: Queryable): Promise<Lane[]> {
  return call<Lane>(
    db,
    'list_lanes',
    'select lane::text, class, role, requires, aged from earshot.list_lanes()',
    [],
  )
}

/**
 * What a node has in hand of a role: `open` winding down too, `running` for longer than a moment,
 * `whole` batch jobs that cannot be cut.
 */
export type Load = {
  slots: number
  open: number
  running: number
  interactive: number
  whole: number
}

/**
 * A node that may get work. `free`: role to free slots; `load`: without roles in quarantine; `*` is
 * all roles, where it has a total.
 */
export type FreeNode = {
  id: string
  incarnation: number
  roles: string[]
  tags: Record<string, unknown>
  free: Record<string, number>
  load: Record<string, Load>
} & Measured

/** The nodes that may get work now, of this protocol, by id. */
export function listFreeNodes(db: Queryable, protocol: number): Promise<FreeNode[]> {
  return call<FreeNode>(db, 'list_free_nodes', 'select * from earshot.list_free_nodes($1)', [
    protocol,
  ])
}

/**
 * A pending job that is next. `holders`: the coordinators that hold its media; null when no one
 * asked, or it has none.
 */
export type NextJob = {
  id: number
  lane: string
  class: JobClass
  kind: string
  priority: number
  whole: boolean
  holders: string[] | null
}
/**
 * Of two lanes whose jobs are otherwise equal, the one of lower `rank` goes first; `most`: how many
 * of it at most.
 */
export type LaneShare = Pick<Lane, 'lane' | 'class'> & { rank: number; most: number }

/** The jobs of these lanes that are next, best first, up to `limit` in all. */
export function listNextJobs(
  db: Queryable,
  lanes: readonly LaneShare[],
  limit: number,
  holders = false,
): Promise<NextJob[]> {
  return call<NextJob>(
    db,
    'list_next_jobs',
    `select id, lane::text, class, kind, priority, whole, holders
     from earshot.list_next_jobs($1::bigint[], $2::text[], $3::int[], $4::int[], $5, $6)`,
    [
      lanes.map((one) => one.lane),
      lanes.map((one) => one.class),
      lanes.map((one) => one.rank),
      lanes.map((one) => one.most),
      limit,
      holders,
    ],
  )
}

/**
 * Batch jobs that have waited too long, the longest waiting first: of each of these lanes the first
 * job of each priority.
 */
export function listAgedJobs(
  db: Queryable,
  lanes: readonly Pick<Lane, 'lane'>[],
  limit: number,
  holders = false,
): Promise<NextJob[]> {
  return call<NextJob>(
    db,
    'list_aged_jobs',
    `select id, lane::text, class, kind, priority, whole, holders
     from earshot.list_aged_jobs($1::bigint[], $2, $3)`,
    [lanes.map((one) => one.lane), limit, holders],
  )
}

/**
 * What routing knows after one look. `alone`: a job must run alone. `jobs` of a lane: the next
 * ones, up to so many as were asked for; null when there are too many lanes.
 */
export type Look = {
  /** The last of these lanes, when there may be more beyond it: where the next look begins. */
  after: string | null
  alone: boolean
  lanes: (Lane & { jobs: NextJob[] | null })[]
  nodes: FreeNode[]
}

/**
 * Lanes that have work with their next `each` jobs, and the nodes of this protocol that may get
 * work; null when no job waits.
 */
export async function routingSnapshot(
  db: Queryable,
  protocol: number,
  each: number,
  after: string | null = null,
): Promise<Look | null> {
  const [row] = await call<{ seen: Look | null }>(
    db,
    'routing_snapshot',
    'select earshot.routing_snapshot($1, $2, $3) as seen',
    [protocol, each, after],
  )
  return row!.seen
}

/** Where the last job of a lane went when every node that could run it was idle. */
export type Precedent = Pick<Lane, 'lane' | 'class'> & Slot & Pick<FreeNode, 'roles' | 'tags'>
/**
 * What one round trip brought: either what was assigned by precedent, or a look; null when no job
 * waits.
 */
export type RoutedOrSeen = { assigned: Assigned[] } | Look | null

/** Assigns the one job that waits by precedent, or looks. A stale term assigns nothing. */
export async function routeOrSnapshot(
  db: Queryable,
  term: string,
  protocol: number,
  each: number,
  placementCache: readonly Precedent[],
  redis = false,
  after: string | null = null,
): Promise<RoutedOrSeen> {
  const [row] = await call<{ done: RoutedOrSeen }>(
    db,
    'route_or_snapshot',
    'select earshot.route_or_snapshot($1::bigint, $2, $3, $4::jsonb, $5, $6) as done',
    [term, protocol, each, JSON.stringify(placementCache), redis, after],
  )
  return row!.done
}

/** One free slot of a node. */
export type Slot = { node: string; incarnation: number }
/** A job, and the slot that it is to run in. */
export type Given = Slot & { job: number }

/**
 * A job that was assigned. `by_redis`: its node was not notified, since it hears through Redis;
 * `carried`: what to send that node, where it is little.
 */
export type Assigned = Slot & {
  id: number
  role: string
  by_redis: boolean
  carried: GivenToNode | null
}

/**
 * Assigns pending jobs to slots; returns what was assigned. A stale term assigns nothing. `redis`:
 * the caller wakes those that hear through it.
 */
export async function routeJobs(
  db: Queryable,
  term: string,
  given: readonly Given[],
  redis = false,
): Promise<Assigned[]> {
  if (given.length === 1) {
    const { job, node, incarnation } = given[0]!
    const [row] = await call<{ done: Assigned | null }>(
      db,
      'route_job',
      'select earshot.route_job($1::bigint, $2, $3, $4, $5) as done',
      [term, job, node, incarnation, redis],
    )
    return row!.done === null ? [] : [row!.done]
  }
  return call(
    db,
    'route_jobs',
    'select id, node, incarnation, role, by_redis, carried from earshot.route_jobs($1::bigint, $2::bigint[], $3::text[], $4::bigint[], $5)',
    [
      term,
      given.map((one) => one.job),
      given.map((one) => one.node),
      given.map((one) => one.incarnation),
      redis,
    ],
  )
}

/** Needs of jobs that were given to a node a while ago and have not been marked as running. */
export type WaitingNeeds = { node: string; role: string; requires: Requires }

/** What waits on these nodes: one entry for each node and sort of needs. */
export function listUnstartedJobs(
  db: Queryable,
  nodes: readonly string[],
): Promise<WaitingNeeds[]> {
  return call<WaitingNeeds>(
    db,
    'list_unstarted_jobs',
    'select node, role, requires from earshot.list_unstarted_jobs($1::text[])',
    [nodes],
  )
}

/** Asks nodes to hand back what they have not started. A stale term asks no one. */
export async function rebalanceNodes(
  db: Queryable,
  term: string,
  nodes: readonly string[],
): Promise<void> {
  await call(db, 'rebalance_nodes', 'select earshot.rebalance_nodes($1::bigint, $2::text[])', [
    term,
    nodes,
  ])
}

export type Swept = { woken: number; requeued: number; overdue: number; next_due_s: number | null }

const DUTIES = ['wake', 'lost', 'overdue', 'silent'] as const

/**
 * Does what time brings about; undefined when this term no longer leads. Each duty has a
 * transaction of its own: one that fails does not hold back those before it, and locks are held for
 * a short time only.
 *
 * @param leases false on the embedded database. A function answers with what the database's clock
 *   shows at most (milliseconds since 1970), or null while no lease may be judged; where that clock
 *   shows more, it was set, and no lease is judged either.
 */
export async function sweep(
  db: Queryable,
  term: string,
  leases: boolean | (() => number | null),
): Promise<Swept | undefined> {
  const total: Swept = { woken: 0, requeued: 0, overdue: 0, next_due_s: null }
  const failures: unknown[] = []
  for (const duty of DUTIES) {
    const clock = typeof leases === 'function' ? leases() : null
    const judged = typeof leases === 'function' ? clock !== null : leases
    try {
      const [row] = await call<Swept>(
        db,
        'sweep',
        'select * from earshot.sweep($1::bigint, $2, $3, to_timestamp($4::float8 / 1000))',
        [term, judged, duty, clock],
      )
      if (row === undefined) return undefined
      total.woken += row.woken
      total.requeued += row.requeued
      total.overdue += row.overdue
      total.next_due_s ??= row.next_due_s
    } catch (err) {
      failures.push(err)
    }
  }
  if (failures.length > 0) throw failures[0]
  return total
}

/**
 * Tells the coordinators' readers of events that there may be some: while the leader is awake, no
 * one else does.
 */
export async function relayEvents(db: Queryable): Promise<void> {
  await call(db, 'relay_events', 'select earshot.relay_events()', [])
}

/** A job that must run alone, and what it needs. */
export type AloneJob = { id: number; role: string; requires: Requires; died_on: string[] }
/**
 * A node on which a job may run alone; `open`: jobs in hand; `reserved_for`: the job that it is
 * kept free for.
 */
export type LoneNode = {
  id: string
  incarnation: number
  roles: string[]
  tags: Record<string, unknown>
  open: number
  reserved_for: number | null
}

/** Jobs that must run alone and wait for a node: the next hundred beyond job `after`. */
export function listIsolatedJobs(db: Queryable, after = 0): Promise<AloneJob[]> {
  return call<AloneJob>(db, 'list_isolated_jobs', 'select * from earshot.list_isolated_jobs($1)', [
    after,
  ])
}

/** The nodes that may run a job alone, of this protocol. */
export function listIsolationNodes(db: Queryable, protocol: number): Promise<LoneNode[]> {
  return call<LoneNode>(
    db,
    'list_isolation_nodes',
    'select * from earshot.list_isolation_nodes($1)',
    [protocol],
  )
}

/**
 * Reserves a node for a job that must run alone, and assigns it once the node is empty; whether it
 * was assigned.
 */
export async function routeIsolatedJob(
  db: Queryable,
  term: string,
  job: number,
  node: LoneNode,
): Promise<boolean> {
  const [row] = await call<{ given: boolean }>(
    db,
    'route_isolated_job',
    'select earshot.route_isolated_job($1::bigint, $2, $3, $4) as given',
    [term, job, node.id, node.incarnation],
  )
  return row!.given
}
