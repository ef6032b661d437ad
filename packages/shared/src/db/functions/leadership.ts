import type { Requires } from '../../contract/api.ts'
import { type Queryable, call } from './call.ts'

/** Takes or renews leadership; returns the term, or null while another coordinator leads. A term is text: it may be any bigint. */
export async function lead(db: Queryable, holder: string, force: boolean): Promise<string | null> {
  const [row] = await call<{ term: string | null }>(db, 'lead', 'select earshot.lead($1, $2)::text as term', [holder, force])
  return row?.term ?? null
}

/** Gives leadership up at an orderly stop. */
export async function resign(db: Queryable, holder: string): Promise<void> {
  await call(db, 'resign', 'select earshot.resign($1)', [holder])
}

/** Says that this coordinator is there and where workers reach it. */
export async function greetCoordinator(db: Queryable, who: { id: string; url: string; version: string; protocol: number }): Promise<void> {
  await call(db, 'greet_coordinator', 'select earshot.greet_coordinator($1, $2, $3, $4)', [who.id, who.url, who.version, who.protocol])
}

/** A lane that has work; `lane` is a 64-bit key, as text. */
export type Lane = { lane: string; role: string; requires: Requires }

/** The lanes that have work, with what they need. */
export function listLanes(db: Queryable): Promise<Lane[]> {
  return call<Lane>(db, 'list_lanes', 'select lane::text, role, requires from earshot.list_lanes()', [])
}

/** A node that may get work; `free`: role to free slots. */
export type FreeNode = { id: string; incarnation: number; roles: string[]; tags: Record<string, unknown>; free: Record<string, number> }

/** The nodes that may get work now, of this protocol. */
export function listFreeNodes(db: Queryable, protocol: number): Promise<FreeNode[]> {
  return call<FreeNode>(db, 'list_free_nodes', 'select * from earshot.list_free_nodes($1)', [protocol])
}

/** One free slot of a node. */
export type Slot = { node: string; incarnation: number }

/** Assigns the best pending jobs of the lanes to the slots, in their order; returns what was assigned. */
export function routeJobs(db: Queryable, term: string, lanes: string[], slots: Slot[]): Promise<{ id: number; node: string; role: string }[]> {
  return call(db, 'route_jobs', 'select id, node, role from earshot.route_jobs($1::bigint, $2::bigint[], $3::text[], $4::bigint[])', [
    term,
    lanes,
    slots.map((slot) => slot.node),
    slots.map((slot) => slot.incarnation),
  ])
}

export type Swept = { woken: number; requeued: number; overdue: number; next_due_s: number | null }

/** Does what time brings about; undefined when this term no longer leads. `leases` is false on the embedded database. */
export async function sweep(db: Queryable, term: string, leases: boolean): Promise<Swept | undefined> {
  const [row] = await call<Swept>(db, 'sweep', 'select * from earshot.sweep($1::bigint, $2)', [term, leases])
  return row
}

/** Moves up to a thousand jobs that ended long enough ago out of the hot table; returns how many. A stale term moves none. */
export async function archiveJobs(db: Queryable, term: string): Promise<number> {
  const [row] = await call<{ moved: number }>(db, 'archive_jobs', 'select earshot.archive_jobs($1::bigint) as moved', [term])
  return row!.moved
}

/** A job that must run alone, and what it needs. */
export type AloneJob = { id: number; role: string; requires: Requires }
/** A node on which a job may run alone; `open`: jobs in hand; `reserved_for`: the job that it is kept free for. */
export type LoneNode = { id: string; incarnation: number; roles: string[]; tags: Record<string, unknown>; open: number; reserved_for: number | null }

/** Jobs that must run alone and wait for a node. */
export function listAloneJobs(db: Queryable): Promise<AloneJob[]> {
  return call<AloneJob>(db, 'list_alone_jobs', 'select * from earshot.list_alone_jobs()', [])
}

/** The nodes that may run a job alone, of this protocol. */
export function listLoneNodes(db: Queryable, protocol: number): Promise<LoneNode[]> {
  return call<LoneNode>(db, 'list_lone_nodes', 'select * from earshot.list_lone_nodes($1)', [protocol])
}

/** Reserves a node for a job that must run alone, and assigns it once the node is empty; whether it was assigned. */
export async function routeAloneJob(db: Queryable, term: string, job: number, node: LoneNode): Promise<boolean> {
  const [row] = await call<{ given: boolean }>(
    db, 'route_alone_job', 'select earshot.route_alone_job($1::bigint, $2, $3, $4) as given', [term, job, node.id, node.incarnation],
  )
  return row!.given
}
