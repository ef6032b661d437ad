import type { EnqueueOptions, Enqueued, ErrorCode, JobClass, Requires } from '@earshot/contract'
import { type Queryable, call } from './call.ts'

export type Submission = EnqueueOptions & {
  kind: string
  payload: Record<string, unknown>
  role?: string
}

/**
 * Enqueues jobs in one statement, all or none; answers in the order asked.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST naming the job and the field that is wrong;
 *   EARSHOT_KEY_REUSED when a key belongs to a job of another kind or payload
 * @example
 * const [{ id }] = await submitJobs(db.pool, [{ kind: 'speak', payload: { text: 'Dinner is ready.' } }])
 */
export async function submitJobs(
  db: Queryable,
  jobs: Submission[],
  tenant = 'default',
): Promise<Enqueued[]> {
  return call<Enqueued>(
    db,
    'submit_jobs',
    'select id, duplicate from earshot.submit_jobs($1::jsonb, $2) order by ord',
    [JSON.stringify(jobs), tenant],
  )
}

/** Cancels jobs that have not ended; returns the ids that did end by this. */
export async function cancelJobs(
  db: Queryable,
  ids: number[],
  tenant = 'default',
): Promise<number[]> {
  const rows = await call<{ id: number }>(
    db,
    'cancel_jobs',
    'select id from earshot.cancel_jobs($1::bigint[], $2) as id',
    [ids, tenant],
  )
  return rows.map((row) => row.id)
}

/**
 * Which jobs an action is for; all that is given must hold. `older_s`: seconds since it ended, or
 * was submitted where it has not.
 */
export type JobChoice = {
  ids?: number[] | undefined
  status?: string[] | undefined
  kind?: string | undefined
  node?: string | undefined
  older_s?: number | undefined
}

/**
 * The jobs that cancelling or retrying would change, oldest first.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST when the choice says nothing: that would mean all
 */
export async function findJobs(
  db: Queryable,
  action: 'cancel' | 'retry',
  choice: JobChoice,
  tenant = 'default',
): Promise<number[]> {
  const rows = await call<{ id: number }>(
    db,
    'find_jobs',
    'select id from earshot.find_jobs($1, $2::jsonb, $3) as id',
    [action, JSON.stringify(choice), tenant],
  )
  return rows.map((row) => row.id)
}

/**
 * Tries jobs again that failed, were cancelled or rest after a failure; returns the ids that were
 * changed.
 */
export async function retryJobs(
  db: Queryable,
  ids: number[],
  tenant = 'default',
): Promise<number[]> {
  const rows = await call<{ id: number }>(
    db,
    'retry_jobs',
    'select id from earshot.retry_jobs($1::bigint[], $2) as id',
    [ids, tenant],
  )
  return rows.map((row) => row.id)
}

/** What a node was given: the job, and the fence that each of its reports must carry. */
export type Assignment = {
  id: number
  attempt: number
  /** 64 bits, as text. */
  fence: string
  kind: string
  role: string
  requires: Requires
  payload: Record<string, unknown>
  tenant_id: string
  document_id: number | null
  deadline: Date | null
  /** Seconds that it may run without a sign of progress. */
  silence_s: number
  class: JobClass
  priority: number
}

/**
 * What one statement gave a node, as the message that wakes it carries it. `at`: when, at the
 * latest, in seconds since 1970 by the database's clock.
 */
export type GivenToNode = { incarnation: number; at: number; jobs: Assignment[] }

/** Reads {@link GivenToNode} from JSON, in which times are text. */
export function givenToNode(json: GivenToNode): GivenToNode {
  return {
    ...json,
    jobs: json.jobs.map((job) => ({
      ...job,
      deadline: job.deadline === null ? null : new Date(job.deadline),
    })),
  }
}

/** What a node was assigned and does not have in hand yet. */
export function takeAssignments(
  db: Queryable,
  node: string,
  incarnation: number,
  held: number[],
  token: string | null = null,
): Promise<Assignment[]> {
  return call<Assignment>(
    db,
    'take_assignments',
    'select * from earshot.take_assignments($1, $2, $3::bigint[], $4)',
    [node, incarnation, held, token],
  )
}

/** Names one job under one assignment. */
export type Fenced = { id: number; fence: string }

/** Marks jobs as running. Returns the ids that still were this holder's. */
export async function startJobs(
  db: Queryable,
  node: string,
  incarnation: number,
  jobs: Fenced[],
  token: string | null = null,
): Promise<number[]> {
  const rows = await call<{ id: number }>(
    db,
    'start_jobs',
    'select id from earshot.start_jobs($1, $2, $3::bigint[], $4::bigint[], $5) as id',
    [node, incarnation, jobs.map((job) => job.id), jobs.map((job) => job.fence), token],
  )
  return rows.map((row) => row.id)
}

/**
 * final: can never succeed. job: charged to the job, tried again. node: charged to the node, the
 * job goes back.
 */
export type Verdict = 'final' | 'job' | 'node'
/** `ran_s`: how long it ran, by the node's own clock. */
export type Outcome = (
  | { output: unknown }
  | { error: { code: ErrorCode; message: string; verdict: Verdict } }
) & { ran_s?: number }
/**
 * done: written. already: this holder had reported it. lost: no longer this holder's, nothing was
 * changed. busy: another transaction holds a row that it needs, nothing was changed; it may be
 * reported again.
 */
export type FinishAnswer = 'done' | 'already' | 'lost' | 'busy'

/** Reports how jobs ended, output and state in one transaction. */
export function finishJobs(
  db: Queryable,
  node: string,
  incarnation: number,
  ended: (Fenced & { outcome: Outcome })[],
  token: string | null = null,
): Promise<{ id: number; answer: FinishAnswer }[]> {
  return call(
    db,
    'finish_jobs',
    'select id, answer from earshot.finish_jobs($1, $2, $3::bigint[], $4::bigint[], $5::jsonb[], $6)',
    [
      node,
      incarnation,
      ended.map((job) => job.id),
      ended.map((job) => job.fence),
      ended.map((job) => JSON.stringify(job.outcome)),
      token,
    ],
  )
}

/** Why a job goes back uncharged; `away`: what it needs is out of reach. */
export type HandBackCause = 'handed_back' | 'away'

/**
 * Hands jobs back unfinished, charging no one; they rest for `delayS` seconds. Returns how many
 * went back.
 */
export async function handBackJobs(
  db: Queryable,
  node: string,
  incarnation: number,
  jobs: Fenced[],
  why: { sentence: string; cause?: HandBackCause; delayS?: number },
  token: string | null = null,
): Promise<number> {
  const rows = await call<{ count: number }>(
    db,
    'hand_back_jobs',
    'select earshot.hand_back_jobs($1, $2, $3::bigint[], $4::bigint[], $5, $6, make_interval(secs => $7), $8) as count',
    [
      node,
      incarnation,
      jobs.map((job) => job.id),
      jobs.map((job) => job.fence),
      why.sentence,
      why.cause ?? 'handed_back',
      why.delayS ?? 0,
      token,
    ],
  )
  return rows[0]?.count ?? 0
}
