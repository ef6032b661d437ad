import {
  type ErrorCode,
  type EventView,
  isFinal,
  JOB_STATUSES,
  type JobStatus,
  type ListedJob,
} from '@earshot/contract'
import { type Queryable, call } from '@earshot/db/functions/call'
import { iso, isoOrNull } from './time.ts'

type Times = {
  run_at: Date
  deadline: Date | null
  created_at: Date
  assigned_at: Date | null
  finished_at: Date | null
}
type Row = Omit<ListedJob, keyof Times | 'error' | 'progress'> &
  Times & { error: string | null; error_code: ErrorCode | null }

const COLUMNS = `j.id, j.kind, j.role, j.requires, j.status, j.assigned_node, j.attempt, j.tries, j.max_tries, j.priority, j.class, j.result,
  case jsonb_typeof(j.payload -> 'title') when 'string' then left(j.payload ->> 'title', 1000) end as title,
  j.error, j.error_code, j.document_id, j.run_at, j.deadline, j.created_at, j.assigned_at, j.finished_at`

export type JobFilter = {
  status?: JobStatus[]
  kind?: string
  before?: number
  ids?: number[]
  limit: number
  /** Whether the payloads come along: they may be large. */
  payload?: boolean | undefined
}

/** Jobs, archived ones too, newest first. `progressOf`: what is known of running ones. */
export async function readJobs(
  db: Queryable,
  filter: JobFilter,
  progressOf: (id: number) => number | null,
): Promise<ListedJob[]> {
  const { payload, ...chosen } = filter
  const { name, which, values } = conditions(chosen)
  const rows = await call<Row>(
    db,
    `http_jobs${payload ? '_full' : ''}${name}`,
    `select ${COLUMNS}${payload ? ', j.payload' : ''} from earshot.all_jobs j ${which} order by j.id desc limit $1`,
    values,
  )
  return rows.map((row) => view(row, progressOf))
}

/**
 * Which jobs, as text of the statement: only what was asked stands in it, since a plan for `$1 is
 * null or …` serves no index once it is kept for all values.
 */
function conditions({ limit, status, ...asked }: Omit<JobFilter, 'payload'>): {
  name: string
  which: string
  values: unknown[]
} {
  const texts = { kind: 'j.kind = $', before: 'j.id < $', ids: 'j.id = any ($::bigint[])' }
  const given = (Object.keys(texts) as (keyof typeof texts)[]).filter(
    (key) => asked[key] !== undefined,
  )
  const all = given.map((key, at) => texts[key].replace('$', `$${at + 2}`))
  const statuses = JOB_STATUSES.filter((one) => (status ?? JOB_STATUSES).includes(one))
  const each = status !== undefined || asked.kind !== undefined
  return {
    // PostgreSQL tells statements apart by 63 letters.
    name: [...(each ? [statuses.map((one) => JOB_STATUSES.indexOf(one)).join('')] : []), ...given]
      .map((key) => `_${key}`)
      .join(''),
    which: each
      ? `where j.id = any (array(${statuses.map((one) => newest(one, all)).join(' union all ')}))`
      : all.map((one, at) => `${at === 0 ? 'where' : 'and'} ${one}`).join(' '),
    values: [limit, ...given.map((key) => asked[key])],
  }
}

/**
 * The newest jobs of one status: each table has an index in this order, and none in that of several
 * statuses.
 */
function newest(status: JobStatus, all: string[]): string {
  return ['jobs', ...(isFinal(status) ? ['jobs_archive'] : [])]
    .map(
      (table) =>
        `(select j.id from earshot.${table} j where ${[`j.status = '${status}'`, ...all].join(' and ')} order by j.id desc limit $1)`,
    )
    .join(' union all ')
}

function view(
  { error, error_code, ...row }: Row,
  progressOf: (id: number) => number | null,
): ListedJob {
  return {
    ...row,
    error: error === null ? null : { code: error_code, message: error },
    progress: row.status === 'assigned' || row.status === 'running' ? progressOf(row.id) : null,
    run_at: iso(row.run_at),
    deadline: isoOrNull(row.deadline),
    created_at: iso(row.created_at),
    assigned_at: isoOrNull(row.assigned_at),
    finished_at: isoOrNull(row.finished_at),
  }
}

/** Whether there is, or was, such a job. */
export async function jobExists(db: Queryable, id: number): Promise<boolean> {
  return (
    (await call(db, 'http_job_exists', 'select from earshot.all_jobs j where j.id = $1', [id]))
      .length > 0
  )
}

/** What happened to a job, oldest first: at most the last 1,000 events. */
export async function readHistory(db: Queryable, job: number): Promise<EventView[]> {
  const rows = await call<Omit<EventView, 'at'> & { at: Date }>(
    db,
    'http_job_history',
    `select e.xid::text || '-' || e.id as id, e.type, e.at, e.job_id, e.document_id, e.node, e.data
     from earshot.events e where e.job_id = $1 order by e.id desc limit 1000`,
    [job],
  )
  return rows.reverse().map((row) => ({ ...row, at: iso(row.at) }))
}

/** Which of these documents and which of this media the mesh knows. */
export async function knownThings(
  db: Queryable,
  documents: readonly number[],
  media: readonly string[],
): Promise<{ documents: number[]; media: string[] }> {
  const [row] = await call<{ documents: number[] | null; media: string[] | null }>(
    db,
    'http_known_things',
    `select (select array_agg(d.id) from earshot.documents d where d.id = any ($1::bigint[])) as documents,
       (select array_agg(distinct m.hash) from earshot.media m where m.hash = any ($2::text[])) as media`,
    [documents, media],
  )
  return { documents: row?.documents ?? [], media: row?.media ?? [] }
}
