import type { Requires } from '@earshot/contract'
import { type Queryable, call } from '@earshot/db/functions/call'
import type { Position } from '../queries/events.ts'

export type JobCount = {
  status: string
  role: string
  requires: Requires
  class: string
  jobs: number
  oldest_s: number | null
}

/** How things stand; see sql/functions/read_gauges.sql. */
export type Gauges = {
  jobs: JobCount[]
  nodes: { id: string; status: string; silent_s: number }[]
  lease_s: number
  term: string
  led: boolean
}

/** What one page of events tells; see sql/functions/read_metrics.sql. */
export type Page = {
  next: Position
  more: boolean
  events: { type: string; kind: string | null; cause: string | null; count: number }[]
  /** By bucket, numbered from 0; `waited` is null for jobs that waited for others. */
  runs: {
    kind: string
    waited: number | null
    ran: number
    count: number
    waited_s: number
    ran_s: number
  }[]
}

/** Upper bounds of the histograms' buckets, in seconds. */
export const BOUNDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200]
const PAGE = 10_000

/** @param after up to where the events were read before; null begins now */
export async function readMetrics(db: Queryable, after: Position | null): Promise<Page> {
  const [row] = await call<{ page: Omit<Page, 'next'> & { xid: string; id: number } }>(
    db,
    'read_metrics',
    'select earshot.read_metrics($1::xid8, $2::bigint, $3, $4::float8[]) as page',
    [after === null ? null : String(after.xid), after?.id ?? null, PAGE, BOUNDS],
  )
  const { xid, id, ...page } = row!.page
  return { ...page, next: { xid: Number(xid), id } }
}

export async function readGauges(db: Queryable): Promise<Gauges> {
  const [row] = await call<{ gauges: Gauges }>(
    db,
    'read_gauges',
    'select earshot.read_gauges() as gauges',
    [],
  )
  return row!.gauges
}

/** How many jobs wait in each lane, and since when; see sql/functions/count_jobs.sql. */
export function countJobs(db: Queryable): Promise<JobCount[]> {
  return call<JobCount>(
    db,
    'count_jobs',
    'select status, role, requires, class, jobs, oldest_s from earshot.count_jobs()',
    [],
  )
}
