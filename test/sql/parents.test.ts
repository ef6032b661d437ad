import { setTimeout as sleep } from 'node:timers/promises'
import { cancelJobs, submitJobs, takeAssignments } from '@earshot/db/functions/jobs'
import { acquireLeadership, listLanes } from '@earshot/db/functions/leadership'
import fc from 'fast-check'
import type pg from 'pg'
import { archiveJobs, pruneArchive } from '@earshot/db/functions/retention'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, assignNext, eventTypes, finish, jobRow, join } from './fixture.ts'

const FAILED = {
  error: { code: 'EARSHOT_ENGINE_FAILED' as const, message: 'No.', verdict: 'final' as const },
}
type Policy = 'fail' | 'run' | 'skip'

describe.each(databases)('jobs that wait for others, on %s', (kind) => {
  let held: TestDatabase
  let n1: number
  beforeAll(async () => {
    held = await testDatabase(kind)
    await held.db.pool.query(`insert into earshot.job_kinds (kind, role) values ('step', 'tts')`)
    // The leader of these tests renews nothing, and this machine may be slow.
    await held.db.pool.query(`update earshot.settings set leadership = '1 hour'`)
  })
  afterAll(async () => {
    await held[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    await held.db.pool.query('delete from earshot.job_parents')
    await held.db.pool.query('delete from earshot.jobs')
    n1 = await join(held.db, 'n1')
  })
  const db = () => held.db
  const step = async (after: (number | { job: number; policy: Policy })[] = []) =>
    (await submitJobs(db().pool, [{ kind: 'step', payload: {}, after }]))[0]!.id
  const status = async (id: number) => (await jobRow(db(), id)).status
  /** Routes and ends what is pending: those of `bad` fail. */
  const runPending = async (bad: Set<number> = new Set()) => {
    const jobs = await assignAll(db(), 'n1', n1)
    await Promise.all(
      jobs.map((job) => finish(db(), 'n1', n1, job, bad.has(job.id) ? FAILED : { output: {} })),
    )
    return jobs.map((job) => job.id)
  }

  test('a child whose parent is deleted before it was counted goes on', async () => {
    const parent = await step()
    const child = await step([{ job: parent, policy: 'run' }])
    await db().pool.query(
      `update earshot.jobs set status = 'cancelled', finished_at = now() - interval '3 years' where id = $1`,
      [parent],
    )
    const term = await acquireLeadership(db().pool, 'test', true)
    await archiveJobs(db().pool, term!)
    await db().pool.query(
      `update earshot.jobs_archive set archived_at = now() - interval '3 years'`,
    )
    expect(await status(child)).toBe('blocked')
    expect(await pruneArchive(db().pool, term!)).toBe(1)
    expect(await status(child)).toBe('pending')
  })

  test.runIf(kind === 'postgres')(
    'a submission is refused whose parent is deleted while it waits for another parent',
    async () => {
      const [gone, held] = [await step(), await step()]
      await cancelJobs(db().pool, [gone])
      await db().pool.query(
        `update earshot.jobs set finished_at = now() - interval '3 years' where id = $1`,
        [gone],
      )
      const term = await acquireLeadership(db().pool, 'test', true)
      await archiveJobs(db().pool, term!)
      await db().pool.query(
        `update earshot.jobs_archive set archived_at = now() - interval '3 years'`,
      )
      const other = await db().pool.connect()
      try {
        await other.query('begin')
        await other.query('select from earshot.jobs where id = $1 for update', [held])
        const child = step([{ job: gone, policy: 'run' }, held])
        const refused = expect(child).rejects.toThrow(`job ${gone}, which was deleted`)
        await vi.waitUntil(async () => {
          const { rows } = await db().pool.query('select from pg_locks where not granted')
          return rows.length > 0
        }, 20_000)
        expect(await pruneArchive(db().pool, term!)).toBe(1)
        await other.query('commit')
        await refused
      } finally {
        other.release(true)
      }
    },
  )

  test('a circle, a stranger, oneself and an unknown policy are refused', async () => {
    const wrong = async (after: unknown) =>
      expect(
        submitJobs(db().pool, [
          { kind: 'step', payload: {} },
          { kind: 'step', payload: {}, after: after as never },
        ]),
      ).rejects.toThrow('Job 2: after')
    await wrong(['#2'])
    await wrong(['#3'])
    await wrong(['#0'])
    await wrong([999_999])
    await wrong(['soon'])
    await wrong([{ job: '#1', policy: 'maybe' }])
    await wrong('#1')
    expect(await listLanes(db().pool)).toEqual([])
  })
  test('start only after all have completed', async () => {
    const [a, b] = [await step(), await step()]
    const child = await step([a, b])
    expect(await status(child)).toBe('blocked')
    const jobs = await assignAll(db(), 'n1', n1)
    await finish(
      db(),
      'n1',
      n1,
      jobs.find((job) => job.id === a)!,
      { output: {} },
    )
    expect(await status(child)).toBe('blocked')
    await finish(
      db(),
      'n1',
      n1,
      jobs.find((job) => job.id === b)!,
      { output: {} },
    )
    expect(await status(child)).toBe('pending')
  })
  test('fail, run or are skipped with a parent that did not succeed, through all generations', async () => {
    const parent = await step()
    const [fail, run, skip] = [
      await step([parent]),
      await step([{ job: parent, policy: 'run' }]),
      await step([{ job: parent, policy: 'skip' }]),
    ]
    const [failBelow, runBelow] = [await step([skip]), await step([{ job: fail, policy: 'run' }])]
    await runPending(new Set([parent]))
    expect(await jobRow(db(), fail)).toMatchObject({
      status: 'failed',
      error_code: 'EARSHOT_PARENT_FAILED',
      error: expect.stringContaining(`Job ${parent}`),
    })
    expect(await status(run)).toBe('pending')
    expect(await jobRow(db(), skip)).toMatchObject({
      status: 'cancelled',
      error_code: 'EARSHOT_SKIPPED',
    })
    expect(await status(failBelow)).toBe('failed')
    expect(await status(runBelow)).toBe('pending')
    expect(await eventTypes(db(), fail)).toEqual(['job.queued', 'job.failed'])
  })
  test('of parents that ended before, count by how they ended; also when they were archived since', async () => {
    const [good, bad] = [await step(), await step()]
    await runPending(new Set([bad]))
    await db().pool.query(`update earshot.settings set keep_completed = '0', keep_failed = '0'`)
    await db().pool.query('select earshot.archive_jobs($1::bigint)', [
      await acquireLeadership(db().pool, 'test', true),
    ])
    expect((await db().pool.query('select count(*)::int as n from earshot.jobs')).rows[0].n).toBe(0)
    expect(await status(await step([good]))).toBe('pending')
    expect(await status(await step([bad]))).toBe('failed')
    expect(await status(await step([good, { job: bad, policy: 'run' }]))).toBe('pending')
  })
  test('can be submitted together with their parents', async () => {
    const made = await submitJobs(db().pool, [
      { kind: 'step', payload: {} },
      { kind: 'step', payload: {}, after: ['#1'] },
      { kind: 'step', payload: {}, after: ['#1', { job: '#2', policy: 'run' }] },
    ])
    expect(await Promise.all(made.map((job) => status(job.id)))).toEqual([
      'pending',
      'blocked',
      'blocked',
    ])
    expect(await runPending()).toEqual([made[0]!.id])
    expect(await runPending()).toEqual([made[1]!.id])
    expect(await runPending()).toEqual([made[2]!.id])
  })
  test('end their document with them, unless another job of it is still open', async () => {
    const {
      rows: [corpus],
    } = await db().pool.query(`select id from earshot.corpora where name = 'default'`)
    const document = async () =>
      (
        await db().pool.query(
          `insert into earshot.documents (corpus_id, title, kind, status) values ($1, 'talk', 'audio', 'processing') returning id`,
          [corpus.id],
        )
      ).rows[0].id
    const documentOf = async (id: number) =>
      (await db().pool.query('select status from earshot.documents where id = $1', [id])).rows[0]
        .status
    const [gone, kept] = [await document(), await document()]
    const parent = await step()
    await submitJobs(db().pool, [
      { kind: 'embed', payload: { document_id: gone }, after: [parent] },
      { kind: 'embed', payload: { document_id: kept }, after: [parent] },
      { kind: 'embed', payload: { document_id: kept }, run_at: '2100-01-01' },
    ])
    await runPending(new Set([parent]))
    expect(await documentOf(gone)).toBe('failed')
    expect(await documentOf(kept)).toBe('processing')
  })
  test('end when they are cancelled, and with a cancelled parent', async () => {
    const parent = await step()
    const [one, other] = [await step([parent]), await step([parent])]
    expect(await cancelJobs(db().pool, [one])).toEqual([one])
    await cancelJobs(db().pool, [parent])
    expect(await status(one)).toBe('cancelled')
    expect(await status(other)).toBe('failed')
  })

  test('in random graphs, with parents that end while children are submitted, none waits for ever and none starts early', async () => {
    const graph = fc.array(
      fc.record({
        parents: fc.array(
          fc.record({
            back: fc.integer({ min: 1, max: 6 }),
            policy: fc.constantFrom<Policy>('fail', 'run', 'skip'),
          }),
          { maxLength: 3 },
        ),
        bad: fc.boolean(),
      }),
      { minLength: 2, maxLength: 14 },
    )
    await fc.assert(
      fc.asyncProperty(graph, async (nodes) => {
        const ids: number[] = []
        const ended = new Map<number, string>()
        const parentsOf = new Map<number, Map<number, Policy>>()
        const bad = new Set<number>()
        let submitting = true
        const submit = async () => {
          for (const [at, node] of nodes.entries()) {
            const parents = new Map(
              node.parents
                .filter(({ back }) => back <= at)
                .map(({ back, policy }) => [ids[at - back]!, policy]),
            )
            const id = await step([...parents].map(([job, policy]) => ({ job, policy })))
            ids.push(id)
            parentsOf.set(id, parents)
            if (node.bad) bad.add(id)
          }
          submitting = false
        }
        const run = async () => {
          const term = await acquireLeadership(db().pool, 'test', true)
          for (let idle = 0; idle < 2;) {
            await assignNext(db(), term!, 'n1', n1, 3)
            const jobs = await takeAssignments(db().pool, 'n1', n1, [])
            // What starts is looked at before it ends: all its parents must have, and none may
            // stand against it.
            for (const job of jobs) {
              for (const [parent, policy] of parentsOf.get(job.id) ?? []) {
                const how = await status(parent)
                expect([
                  'completed',
                  ...(policy === 'run' ? ['failed', 'cancelled'] : []),
                ]).toContain(how)
              }
            }
            await Promise.all(
              jobs.map((job) =>
                finish(db(), 'n1', n1, job, bad.has(job.id) ? FAILED : { output: {} }),
              ),
            )
            if (jobs.length === 0 && !submitting) idle += 1
          }
        }
        await Promise.all([submit(), run()])
        for (const id of ids) ended.set(id, await status(id))
        for (const id of ids) expect(['completed', 'failed', 'cancelled']).toContain(ended.get(id))
      }),
      { numRuns: kind === 'embedded' ? 4 : 25 },
    )
  })

  // The embedded database runs one statement at a time: no one can get in between.
  test.skipIf(kind === 'embedded')(
    'are told of an end that was on its way down to them while they were submitted',
    async () => {
      const top = await step()
      const [left, right] = [await step([top]), await step([top])]
      const [first, second, third] = await Promise.all([
        db().pool.connect(),
        db().pool.connect(),
        db().pool.connect(),
      ])
      const below = async (client: typeof first, parent: number) => {
        await client.query('begin')
        return (await submitJobs(client, [{ kind: 'step', payload: {}, after: [parent] }]))[0]!.id
      }
      try {
        // The news of the top's end waits for both rows that are held here, one after the other …
        const child = await below(first, left)
        await below(second, right)
        const cancelling = cancelJobs(db().pool, [top])
        await waitsFor(first)
        await first.query('commit')
        await waitsFor(second)
        // … and meanwhile a third generation comes.
        const grandchild = await below(third, child)
        await second.query('commit')
        await waitsFor(third)
        await third.query('commit')
        await cancelling
        expect(await status(child)).toBe('failed')
        expect(await status(grandchild)).toBe('failed')
      } finally {
        for (const client of [first, second, third]) client.release(true)
      }
    },
  )
  /** Resolves when someone waits for what this connection's transaction holds. */
  async function waitsFor(client: { query: pg.PoolClient['query'] }): Promise<void> {
    const {
      rows: [me],
    } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const waiting = 'select from pg_stat_activity where $1 = any (pg_blocking_pids(pid))'
    while ((await db().pool.query(waiting, [me!.pid])).rowCount === 0) await sleep(10)
  }
})
