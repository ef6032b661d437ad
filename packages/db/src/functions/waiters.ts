import type { ErrorCode } from '@earshot/contract'
import { type Queryable, call } from './call.ts'
import type { Submission } from './jobs.ts'

/**
 * Enqueues one job whose answer someone waits for with an open connection. It is cancelled once no
 * one says {@link renewWaiters} for 20 s.
 *
 * @param withinS how long it may take in all, in seconds
 * @throws EarshotError EARSHOT_BAD_REQUEST naming the field that is wrong
 */
export async function submitAwaitedJob(
  db: Queryable,
  job: Submission,
  withinS: number,
): Promise<number> {
  const [row] = await call<{ id: number }>(
    db,
    'submit_awaited_job',
    'select earshot.submit_awaited_job($1::jsonb, make_interval(secs => $2)) as id',
    [JSON.stringify(job), withinS],
  )
  return row!.id
}

/** Says that someone still waits for these jobs. */
export async function renewWaiters(db: Queryable, ids: readonly number[]): Promise<void> {
  await call(db, 'renew_waiters', 'select earshot.renew_waiters($1::bigint[])', [ids])
}

/**
 * Notes that a job's answer begins to be sent by its holder: it is not run again. The node that
 * answers; null when this attempt is over, another one began, or the fence is not the holder's.
 */
export async function beginAnswer(
  db: Queryable,
  id: number,
  { attempt, fence }: { attempt: number; fence: string },
): Promise<string | null> {
  const [row] = await call<{ node: string | null }>(
    db,
    'begin_answer',
    'select earshot.begin_answer($1, $2, $3) as node',
    [id, attempt, fence],
  )
  return row?.node ?? null
}

/** Cancels jobs for which no one waits any more; returns their ids. A stale term cancels none. */
export async function cancelUnawaitedJobs(db: Queryable, term: string): Promise<number[]> {
  const rows = await call<{ id: number }>(
    db,
    'cancel_unawaited_jobs',
    'select id from earshot.cancel_unawaited_jobs($1::bigint) as id',
    [term],
  )
  return rows.map((row) => row.id)
}

/**
 * Ends a job for whose answer no one waits any more; one that has ended is left alone.
 *
 * @example
 * await giveUpJob(db.pool, 12, { status: 'failed', code: 'EARSHOT_NO_NODE', message: 'No node began with it.' })
 */
export async function giveUpJob(
  db: Queryable,
  id: number,
  why: { status: 'failed' | 'cancelled'; code: ErrorCode; message: string },
): Promise<void> {
  const values = [id, why.status, why.code, why.message]
  await call(db, 'give_up_job', 'select earshot.give_up_job($1, $2, $3, $4)', values)
}

/**
 * How an awaited job stands; `result` once it is completed. Of one that waits for a node again,
 * `failures`: how often it failed; `lacking`: the last node said that it has not what is needed,
 * and there was no other to turn to.
 */
export type AwaitedState = {
  id: number
  status: string
  node: string | null
  attempt: number
  result: unknown
  error: string | null
  error_code: string | null
  failures: number
  lacking: boolean
}

/** How these jobs stand; one that is not listed was deleted. */
export function readAwaited(db: Queryable, ids: readonly number[]): Promise<AwaitedState[]> {
  return call<AwaitedState>(
    db,
    'http_awaited',
    `select j.id, j.status, j.assigned_node as node, j.attempt, j.result, j.error, j.error_code,
       j.status = 'pending' and not j.due and j.attempt > 0 and (select e.data ->> 'cause' = 'node' from earshot.events e
         where e.job_id = j.id and e.type = 'job.requeued' order by e.id desc limit 1) is true as lacking,
       case when j.status = 'pending' and j.attempt > 0 then (select count(*)::int from earshot.events e
         where e.job_id = j.id and e.type = 'job.requeued' and e.data ->> 'cause' in ('failed', 'node')) else 0 end as failures
     from earshot.jobs j where j.id = any ($1::bigint[])`,
    [ids],
  )
}
