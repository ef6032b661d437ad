import { type EnqueueOptions, PROTOCOL } from '@earshot/contract'
import {
  finishJobs,
  type Outcome,
  submitJobs,
  takeAssignments,
  type Assignment,
} from '@earshot/db/functions/jobs'
import {
  acquireLeadership,
  listFreeNodes,
  listLanes,
  listNextJobs,
  routeJobs,
} from '@earshot/db/functions/leadership'
import { registerNode } from '@earshot/db/functions/nodes'
import type { Database } from '@earshot/db/open'

/** Registers a node that can do everything, and returns its incarnation. */
export function join(
  db: Database,
  id: string,
  more: {
    roles?: string[]
    slots?: Record<string, number>
    protocol?: number
    tags?: Record<string, unknown>
    boot_id?: string | null
  } = {},
): Promise<number> {
  return registerNode(db.pool, {
    id,
    name: id,
    host: null,
    port: null,
    version: '0',
    protocol: more.protocol ?? PROTOCOL,
    roles: more.roles ?? ['tts', 'stt_batch', 'rag_engine'],
    tags: more.tags ?? {},
    capabilities: {},
    slots: more.slots ?? { tts: 100, stt_batch: 100, rag_engine: 100 },
    boot_id: more.boot_id ?? null,
  })
}

export async function speak(
  db: Database,
  text = 'hello',
  more: EnqueueOptions = {},
): Promise<number> {
  const [job] = await submitJobs(db.pool, [{ kind: 'speak', payload: { text }, ...more }])
  return job!.id
}

/**
 * Routes all that is pending to one node, under a term of its own, and returns what that node then
 * takes.
 */
export async function assignAll(
  db: Database,
  node: string,
  incarnation: number,
): Promise<Assignment[]> {
  const term = await acquireLeadership(db.pool, 'test', true)
  await assignNext(db, term!, node, incarnation, 100)
  return takeAssignments(db.pool, node, incarnation, [])
}

/**
 * Assigns the jobs that are next, up to so many, to one node, whatever it has room for; returns
 * what was assigned, best first.
 */
export async function assignNext(
  db: Database,
  term: string,
  node: string,
  incarnation: number,
  most: number,
): Promise<number[]> {
  const lanes = (await listLanes(db.pool)).map((lane) => ({ ...lane, rank: 0, most }))
  const jobs = await listNextJobs(db.pool, lanes, most)
  const given = await routeJobs(
    db.pool,
    term,
    jobs.map(({ id }) => ({ job: id, node, incarnation })),
  )
  return jobs.map(({ id }) => id).filter((id) => given.some((one) => one.id === id))
}

export async function finish(
  db: Database,
  node: string,
  incarnation: number,
  job: { id: number; fence: string },
  outcome: Outcome,
): Promise<string> {
  const [answer] = await finishJobs(db.pool, node, incarnation, [{ ...job, outcome }])
  return answer!.answer
}

export async function jobRow(
  db: Database,
  id: number,
): Promise<Record<string, unknown> & { status: string }> {
  // lane and fence use all 64 bits and are left out.
  const { rows } = await db.pool.query(
    `select id, kind, status, assigned_node, attempt, tries, deaths, error, error_code, due,
    result, document_id, priority, idempotency_key from earshot.jobs where id = $1`,
    [id],
  )
  return rows[0]
}

/** How many jobs a free node could take, by role. */
export async function freeSlots(
  db: Database,
  node: string,
): Promise<Record<string, number> | undefined> {
  return (await listFreeNodes(db.pool, PROTOCOL)).find((one) => one.id === node)?.free
}

/** Makes a node's lease end, as if its heartbeats had stopped long ago. */
export async function silence(db: Database, node: string, forS = 60): Promise<void> {
  await db.pool.query(
    "update earshot.node_leases set last_seen = now() - make_interval(secs => $2), lease_until = now() - interval '1 second' where node = $1",
    [node, forS],
  )
}

/** The types of a job's events, in order. */
export async function eventTypes(db: Database, job: number): Promise<string[]> {
  const { rows } = await db.pool.query<{ type: string }>(
    'select type from earshot.job_events where job_id = $1 order by id',
    [job],
  )
  return rows.map((row) => row.type)
}
