import { setTimeout as sleep } from 'node:timers/promises'
import { retryJobs } from '@earshot/db/functions/jobs'
import { monotonicMs } from '@earshot/db/monotonic'
import type { Asked } from './jobs.ts'
import { KIND } from './kind.ts'
import type { Stage } from './stage.ts'

type Ended = {
  id: number
  key: string | null
  status: string
  tries: number
  attempt: number
  fence: string | null
  error_code: string | null
  error: string | null
  ends: number
  effects: number
  foreign: number
  deaths: number
}

/**
 * Each job as it ended, with how many final events, effects, and effects of another assignment than
 * the one that counted it has.
 */
const ENDED = `
  select j.id, j.idempotency_key as key, j.status, j.tries, j.attempt, j.fence::text, j.error_code, j.error, j.deaths,
    (select count(*)::int from earshot.events e where e.job_id = j.id and e.type in ('job.completed', 'job.failed', 'job.cancelled')) as ends,
    (select count(*)::int from chaos.effects e where e.job_id = j.id) as effects,
    (select count(*)::int from chaos.effects e where e.job_id = j.id and (e.fence is distinct from e.result ->> 'fence'
      or e.node is distinct from e.result ->> 'node' or e.attempt is distinct from (e.result ->> 'attempt')::int
      or not exists (select from chaos.holds h where h.job_id = j.id and h.fence = e.fence and h.node = e.node))) as foreign
  from earshot.jobs j where j.kind = '${KIND}' order by j.id`

/** What must hold of the whole mesh. */
const WHOLE = `
  select format('job %s was given out twice as attempt %s', job_id, attempt) as wrong from chaos.holds group by job_id, attempt having count(*) > 1
  union all
  select format('node %s was charged with %s faults', id, faults) from earshot.nodes where faults > 0 and id <> all ($1)
  union all
  select format('node %s was put into quarantine: %s', node, data ->> 'reason') from earshot.events where type = 'node.quarantined' and node <> all ($1)
  union all
  select format('%s jobs were submitted twice', count(*)) from earshot.jobs where idempotency_key is null and kind = '${KIND}' and payload <> '{"ms": 0}' having count(*) > 0`

/**
 * Waits until every job has ended, those that rest after a failure being tried again now; returns
 * how many have not after `forMs`.
 */
export async function allEnded({ db }: Stage, forMs: number): Promise<number> {
  const until = monotonicMs() + forMs
  for (;;) {
    const { rows: resting } = await db.pool.query<{ id: number }>(
      `select id from earshot.jobs where kind = $1 and status = 'pending' and not due`,
      [KIND],
    )
    if (resting.length > 0)
      await retryJobs(
        db.pool,
        resting.map(({ id }) => id),
      )
    const { rows } = await db.pool.query<{ open: number }>(
      `select count(*)::int as open from earshot.jobs where kind = $1 and status not in ('completed', 'failed', 'cancelled')`,
      [KIND],
    )
    if (rows[0]!.open === 0 || monotonicMs() > until) return rows[0]!.open
    await sleep(500)
  }
}

/**
 * Compares what was asked for with what became of it; returns every broken promise in a sentence.
 */
export async function checkAll(
  { db, guilty }: Stage,
  asked: Asked[],
): Promise<{ broken: string[]; jobs: number; effects: number; deaths: number; attempts: number }> {
  const { rows } = await db.pool.query<Ended>(ENDED)
  const { rows: wrong } = await db.pool.query<{ wrong: string }>(WHOLE, [[...guilty]])
  const byKey = new Map(rows.map((row) => [row.key, row]))
  const broken = wrong.map((row) => row.wrong)
  for (const one of asked) {
    const job = byKey.get(one.key)
    if (job === undefined) broken.push(`${one.key} was submitted, and is not there`)
    else
      broken.push(
        ...faultsIn(job, one, byKey).map(
          (sentence) =>
            `job ${job.id} (${one.key}, ${job.status}, attempt ${job.attempt}): ${sentence}`,
        ),
      )
  }
  const known = new Set(asked.map(({ key }) => key))
  broken.push(
    ...rows
      .filter(({ key }) => key !== null && !known.has(key))
      .map(({ key }) => `${key} is there, and nobody knows of it`),
  )
  const sum = (of: (job: Ended) => number) => rows.reduce((total, job) => total + of(job), 0)
  return {
    broken,
    jobs: rows.length,
    effects: sum((job) => job.effects),
    deaths: sum((job) => job.deaths),
    attempts: sum((job) => job.attempt),
  }
}

function faultsIn(job: Ended, asked: Asked, byKey: Map<string | null, Ended>): string[] {
  const wrong: string[] = []
  const expect = (holds: boolean, sentence: string) => void (holds || wrong.push(sentence))
  expect(job.ends === 1, `it ended ${job.ends} times`)
  expect(job.effects === (job.status === 'completed' ? 1 : 0), `it has ${job.effects} effects`)
  expect(job.foreign === 0, 'its effect is of another assignment')
  const fate = fateOf(asked, byKey)
  const allowed = asked.cancelled ? [...fate, 'cancelled EARSHOT_CANCELLED'] : fate
  const was = [job.status, job.error_code].filter(Boolean).join(' ')
  expect(
    allowed.includes(was),
    `it ended as ${was}, expected ${allowed.join(' or ')}: ${job.error}`,
  )
  const ran = was === 'failed EARSHOT_HANDLER_FAILED'
  if (ran)
    expect(job.tries === asked.maxTries, `it was charged ${job.tries} of ${asked.maxTries} tries`)
  else
    expect(
      job.tries === 0 || asked.payload.fail === 'tries',
      `it was charged ${job.tries} tries, and is innocent`,
    )
  return wrong
}

/** How it must have ended, unless it was cancelled. */
function fateOf({ payload, parents }: Asked, byKey: Map<string | null, Ended>): string[] {
  const held = parents.find(
    ({ key, policy }) => policy !== 'run' && byKey.get(key)?.status !== 'completed',
  )
  if (held !== undefined)
    return [held.policy === 'fail' ? 'failed EARSHOT_PARENT_FAILED' : 'cancelled EARSHOT_SKIPPED']
  if (payload.fail === 'final') return ['failed EARSHOT_BAD_REQUEST']
  return [payload.fail === 'tries' ? 'failed EARSHOT_HANDLER_FAILED' : 'completed']
}
