import { type JobFilter, readJobs } from '../../packages/coordinator/src/queries/jobs.ts'
import { readDocuments } from '../../packages/coordinator/src/queries/documents.ts'
import { readGauges } from '../../packages/coordinator/src/metrics/read.ts'
import { acquireLeadership, sweep } from '@earshot/db/functions/leadership'
import { archiveJobs, pruneArchive } from '@earshot/db/functions/retention'
import type { Queryable } from '@earshot/db/functions/call'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases, type TestDatabase, testDatabase } from '../helpers/database.ts'

/** Many, beside the pages that a read may touch, and few enough to make in a second. */
const MANY = 20_000

const ENDED = `status, finished_at, created_at, error, error_code`
const YOUNG = `case when n % 1000 = 0 then 'failed' else 'completed' end, now() - n * interval '1 second', now(),
  case when n % 1000 = 0 then 'It failed.' end, case when n % 1000 = 0 then 'EARSHOT_HANDLER' end`

describe.each(databases)('with many jobs that ended, on %s', (kind) => {
  let held: TestDatabase
  let term: string
  beforeAll(async () => {
    held = await testDatabase(kind)
    await held.db.pool.query(`update earshot.settings set leadership = '10 minutes'`)
    term = (await acquireLeadership(held.db.pool, 'keeper', true))!
    await held.db.pool.query(
      `insert into earshot.jobs (kind, role, ${ENDED}) select 'speak', 'tts', ${YOUNG} from generate_series(1, ${MANY}) n`,
    )
    await held.db.pool.query(
      `insert into earshot.jobs_archive (id, kind, role, lane, ${ENDED})
       select -n, 'speak', 'tts', 1, ${YOUNG} from generate_series(1, ${MANY}) n`,
    )
    await held.db.pool.query(
      `insert into earshot.documents (corpus_id, title, kind, ready_at, status, error, error_code)
       select c.id, 'note', 'text', case when n > 5 then now() end, case when n > 5 then 'ready' else 'failed' end,
         case when n <= 5 then 'It failed.' end, case when n <= 5 then 'EARSHOT_HANDLER' end
       from earshot.corpora c, generate_series(1, ${MANY}) n`,
    )
    await held.db.pool.query('analyze')
  })
  afterAll(() => held[Symbol.asyncDispose]())

  /** How many rows of jobs and documents it read. */
  async function rowsRead(work: (db: Queryable) => Promise<unknown>): Promise<number> {
    return held.db.transaction(async (client) => {
      const soFar = async () =>
        (
          await client.query<{ read: number }>(
            `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int as read
             from pg_stat_xact_user_tables where schemaname = 'earshot' and (relname like 'jobs%' or relname = 'documents')`,
          )
        ).rows[0]!.read
      const before = await soFar()
      await work(client)
      return (await soFar()) - before
    })
  }

  test('a look for old ones that finds none reads none', async () => {
    expect(await rowsRead((db) => archiveJobs(db, term))).toBeLessThan(10)
    expect(await rowsRead((db) => pruneArchive(db, term))).toBeLessThan(10)
  })

  test.each<Omit<JobFilter, 'limit'>>([
    { status: ['pending'] },
    { status: ['failed'] },
    { status: ['completed', 'cancelled'] },
    { kind: 'transcribe' },
    { kind: 'speak', status: ['failed'] },
    { status: ['failed'], before: 1 },
  ])('a list of %j reads little more than it shows', async (filter) => {
    let found: { id: number; status: string }[] = []
    const read = await rowsRead(async (db) => {
      found = await readJobs(db, { limit: 10, ...filter }, () => null)
    })
    expect(read).toBeLessThan(500)
    const { status, before = 10 ** 12, kind: of = 'speak' } = filter
    const { rows } = await held.db.pool.query<{ id: number; status: string }>(
      `select id, status from earshot.all_jobs where ($1::text[] is null or status = any ($1)) and id < $2 and kind = $3
       order by id desc limit 10`,
      [status ?? null, before, of],
    )
    expect(found.map(({ id, status }) => ({ id, status }))).toEqual(rows)
  })

  test.each([
    { status: ['failed' as const] },
    { status: ['queued' as const, 'failed' as const], before: 3 },
    { id: 7 },
    {},
  ])('a list of documents of %j reads little more than it shows', async (filter) => {
    let found: { id: number }[] = []
    const read = await rowsRead(async (db) => {
      found = await readDocuments(db, { limit: 10, ...filter })
    })
    expect(read).toBeLessThan(100)
    const { rows } = await held.db.pool.query<{ id: number }>(
      `select id from earshot.documents where ($1::text[] is null or status = any ($1)) and ($2::int is null or id < $2)
       and ($3::int is null or id = $3) order by id desc limit 10`,
      [
        'status' in filter ? filter.status : null,
        'before' in filter ? filter.before : null,
        'id' in filter ? filter.id : null,
      ],
    )
    expect(found.map(({ id }) => id)).toEqual(rows.map(({ id }) => id))
  })

  test('what is old is moved and deleted, a thousand at a time, until nothing is left', async () => {
    await held.db.pool.query(`update earshot.settings set keep_completed = '0', keep_failed = '0'`)
    let moved = 0
    for (let last = 1000; last === 1000; moved += last) last = await archiveJobs(held.db.pool, term)
    expect(moved).toBe(MANY)
    expect(await archiveJobs(held.db.pool, '0')).toBe(0)
    await held.db.pool.query(`update earshot.settings set keep_archived = '0'`)
    let gone = 0
    for (let last = 1000; last === 1000; gone += last) last = await pruneArchive(held.db.pool, term)
    expect(gone).toBe(2 * MANY)
    expect((await held.db.pool.query('select from earshot.all_jobs')).rowCount).toBe(0)
  })

  test('many deadlines that pass at once are dealt with over several sweeps', async () => {
    await held.db.pool.query(
      `insert into earshot.jobs (kind, role, deadline) select 'speak', 'tts', now() - interval '1 second' from generate_series(1, 700)`,
    )
    expect(await sweep(held.db.pool, term, true)).toMatchObject({ overdue: 500 })
    expect(await sweep(held.db.pool, term, true)).toMatchObject({ overdue: 200 })
    expect(await sweep(held.db.pool, term, true)).toMatchObject({ overdue: 0 })
  })

  test('gauges count so many jobs at most, over however many lanes', async () => {
    await held.db.pool.query(
      `insert into earshot.jobs (kind, role, requires)
       select 'speak', 'tts', jsonb_build_object('box', n % 20) from generate_series(1, 4000) n`,
    )
    const { rows } = await held.db.pool.query<{ jobs: number }>(
      `select jobs from earshot.count_jobs(p_most => 100)`,
    )
    expect(rows.map(({ jobs }) => jobs)).toEqual(Array.from({ length: 20 }, () => 25))
    expect((await readGauges(held.db.pool)).jobs).toHaveLength(20)
    const { rows: compiled } = await held.db.pool.query(
      `select proname from pg_proc where pronamespace = 'earshot'::regnamespace
       and proname in ('read_gauges', 'read_metrics', 'count_jobs') and not proconfig @> '{jit=off}'`,
    )
    expect(compiled).toEqual([])
  })
})
