import {
  cancelJobs,
  handBackJobs,
  startJobs,
  submitJobs,
  takeAssignments,
} from '@earshot/db/functions/jobs'
import {
  acquireLeadership,
  listLanes,
  releaseLeadership,
  sweep,
} from '@earshot/db/functions/leadership'
import { heartbeat, deregisterNode } from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import {
  assignAll,
  assignNext,
  eventTypes,
  finish,
  freeSlots,
  jobRow,
  join,
  silence,
  speak,
} from './fixture.ts'

const FAILS = (verdict: 'final' | 'job' | 'node') => ({
  error: { code: 'EARSHOT_ENGINE_FAILED' as const, message: 'The engine crashed.', verdict },
})

describe.each(databases)('jobs on %s', (kind) => {
  let test_: TestDatabase
  let n1: number
  beforeAll(async () => {
    test_ = await testDatabase(kind)
  })
  afterAll(async () => {
    await test_[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    await test_.db.pool.query('delete from earshot.jobs')
    await test_.db.pool.query('delete from earshot.nodes')
    n1 = await join(test_.db, 'n1')
  })
  const db = () => test_.db

  describe('submitting', () => {
    test('refuses an unknown kind by name, and stores none of the batch', async () => {
      await expect(
        submitJobs(db().pool, [
          { kind: 'speak', payload: { text: 'a' } },
          { kind: 'sing', payload: {} },
        ]),
      ).rejects.toMatchObject({
        code: 'EARSHOT_BAD_REQUEST',
        message: expect.stringContaining('Job 2: no kind is called "sing"'),
      })
      expect((await db().pool.query('select count(*)::int as n from earshot.jobs')).rows[0].n).toBe(
        0,
      )
    })
    test('refuses a payload without a field that its kind needs', async () => {
      await expect(submitJobs(db().pool, [{ kind: 'speak', payload: {} }])).rejects.toThrow(
        'needs: text',
      )
    })
    test('refuses media that no coordinator holds', async () => {
      await expect(
        submitJobs(db().pool, [{ kind: 'transcribe', payload: { media: 'a'.repeat(64) } }]),
      ).rejects.toThrow('no coordinator holds media')
    })
    test('is rolled back with the transaction it is part of', async () => {
      await expect(
        db().transaction(async (client) => {
          await client.query(`select earshot.submit_job('speak', '{"text": "never"}')`)
          throw new Error('changed my mind')
        }),
      ).rejects.toThrow('changed my mind')
      expect(await listLanes(db().pool)).toEqual([])
    })
    test('answers an idempotency key that is known with the first job, also within one batch', async () => {
      const job = { kind: 'speak', payload: { text: 'once' }, idempotency_key: 'k' }
      const first = await submitJobs(db().pool, [job, job])
      expect(first.map((one) => one.duplicate)).toEqual([false, true])
      expect(await submitJobs(db().pool, [job])).toEqual([{ id: first[0]!.id, duplicate: true }])
    })
    test('gives ids in the order asked', async () => {
      const ids = (
        await submitJobs(
          db().pool,
          Array.from({ length: 50 }, (_, i) => ({ kind: 'speak', payload: { text: String(i) } })),
        )
      ).map((one) => one.id)
      expect(ids).toEqual([...ids].sort((a, b) => a - b))
    })
    test('puts jobs of equal needs into one lane, whatever the order of the tags', async () => {
      await submitJobs(db().pool, [
        { kind: 'speak', payload: { text: 'a' }, requires: { gpu: 'x', place: 'attic' } },
        { kind: 'speak', payload: { text: 'b' }, requires: { place: 'attic', gpu: 'x' } },
        { kind: 'speak', payload: { text: 'c' } },
      ])
      expect(await listLanes(db().pool)).toHaveLength(2)
    })
  })

  describe('routing', () => {
    test('assigns nothing under a term that is over', async () => {
      await speak(db())
      const old = await acquireLeadership(db().pool, 'one', true)
      await acquireLeadership(db().pool, 'two', true)
      expect(await assignNext(db(), old!, 'n1', n1, 1)).toEqual([])
    })
    test('gives a later holder a greater term, and leadership only once the earlier one has ended', async () => {
      const first = await acquireLeadership(db().pool, 'one', true)
      expect(await acquireLeadership(db().pool, 'two', false)).toBeNull()
      expect(await acquireLeadership(db().pool, 'one', false)).toBe(first)
      await releaseLeadership(db().pool, 'one')
      expect(Number(await acquireLeadership(db().pool, 'two', false))).toBeGreaterThan(
        Number(first),
      )
    })
    test('hands out the highest priority first, then the oldest', async () => {
      const low = await speak(db())
      const [high] = await submitJobs(db().pool, [
        { kind: 'speak', payload: { text: 'now' }, priority: 100 },
      ])
      const term = await acquireLeadership(db().pool, 'test', true)
      expect(await assignNext(db(), term!, 'n1', n1, 1)).toEqual([high!.id])
      expect(await assignNext(db(), term!, 'n1', n1, 1)).toEqual([low])
    })
    test('leaves a job whose time has not come, and takes it once it has', async () => {
      const [job] = await submitJobs(db().pool, [
        {
          kind: 'speak',
          payload: { text: 'later' },
          run_at: new Date(Date.now() + 3_600_000).toISOString(),
        },
      ])
      expect(await assignAll(db(), 'n1', n1)).toEqual([])
      await db().pool.query('update earshot.jobs set run_at = now() where id = $1', [job!.id])
      const term = await acquireLeadership(db().pool, 'test', true)
      expect(await sweep(db().pool, term!, true)).toMatchObject({ woken: 1 })
      expect(await assignAll(db(), 'n1', n1)).toHaveLength(1)
    })
    test('counts open jobs, and those that wind down on the node, against its slots', async () => {
      await join(db(), 'n2', { slots: { tts: 3 }, roles: ['tts'] })
      expect(await freeSlots(db(), 'n2')).toEqual({ tts: 3 })
      const n2 = await join(db(), 'n2', { slots: { tts: 3 }, roles: ['tts'] })
      await speak(db())
      await assignAll(db(), 'n2', n2)
      await heartbeat(db().pool, 'n2', n2, { tts: 1 })
      expect(await freeSlots(db(), 'n2')).toEqual({ tts: 1 })
    })
    test('offers nothing to a node that fell silent, is leaving, or speaks another protocol, which is told so', async () => {
      await silence(db(), 'n1')
      await join(db(), 'old', { protocol: 0 })
      await db().pool.query(`select earshot.touch_coordinator('c', 'http://127.0.0.1', '1', 1)`)
      await join(db(), 'older', { protocol: 0 })
      expect(await freeSlots(db(), 'n1')).toBeUndefined()
      expect(await freeSlots(db(), 'old')).toBeUndefined()
      expect(await freeSlots(db(), 'older')).toBeUndefined()
      const { rows } = await db().pool.query(`select reason from earshot.nodes where id = 'older'`)
      expect(rows[0].reason).toContain('protocol 0')
    })
  })

  describe('finishing', () => {
    test('changes nothing under another fence, another incarnation or after the job went back', async () => {
      const id = await speak(db())
      const [job] = await assignAll(db(), 'n1', n1)
      expect(await finish(db(), 'n1', n1, { id, fence: '1' }, FAILS('final'))).toBe('lost')
      expect(await finish(db(), 'n1', n1 + 1, job!, FAILS('final'))).toBe('lost')
      await join(db(), 'n1')
      expect(await finish(db(), 'n1', n1, job!, FAILS('final'))).toBe('lost')
      expect(await jobRow(db(), id)).toMatchObject({
        status: 'pending',
        tries: 0,
        assigned_node: null,
      })
    })
    test('answers lost when the job was ended by others meanwhile, and already only for its own report', async () => {
      const id = await speak(db(), 'late')
      const [job] = await assignAll(db(), 'n1', n1)
      await db().pool.query(
        `select earshot.end_jobs(array[$1::bigint], 'failed', 'EARSHOT_DEADLINE', 'Late.')`,
        [id],
      )
      expect(await finish(db(), 'n1', n1, job!, FAILS('final'))).toBe('lost')
      expect(await finish(db(), 'n1', n1, job!, { output: {} })).toBe('lost')
    })

    test('answers a repeat after a lost answer with already, whatever the outcome was', async () => {
      const ids = [await speak(db()), await speak(db()), await speak(db())]
      const jobs = await assignAll(db(), 'n1', n1)
      const outcomes = [FAILS('final'), FAILS('job'), { output: { media: 'x' } }]
      const answers = () =>
        Promise.all(jobs.map((job, i) => finish(db(), 'n1', n1, job, outcomes[i]!)))
      expect(await answers()).toEqual(['done', 'done', 'done'])
      const rows = await Promise.all(ids.map((id) => jobRow(db(), id)))
      expect(await answers()).toEqual(['already', 'already', 'already'])
      expect(await Promise.all(ids.map((id) => jobRow(db(), id)))).toEqual(rows)
    })
    test('a result that the database refuses fails its own job and no other of the batch', async () => {
      await db().pool.query(
        `insert into earshot.job_kinds (kind, role) values ('count', 'tts') on conflict do nothing`,
      )
      const [bad] = await submitJobs(db().pool, [
        { kind: 'speak', payload: { text: 'x' }, max_tries: 1 },
      ])
      const [good] = await submitJobs(db().pool, [{ kind: 'count', payload: {} }])
      const jobs = await assignAll(db(), 'n1', n1)
      const { finishJobs } = await import('@earshot/db/functions/jobs')
      await finishJobs(
        db().pool,
        'n1',
        n1,
        jobs.map((job) => ({
          ...job,
          outcome: { output: job.id === bad!.id ? { media: 'nowhere', duration_s: 1 } : { n: 1 } },
        })),
      )
      expect(await jobRow(db(), bad!.id)).toMatchObject({
        status: 'failed',
        error_code: 'EARSHOT_RESULT_REFUSED',
        error: expect.stringContaining('no coordinator holds media nowhere'),
      })
      expect(await jobRow(db(), good!.id)).toMatchObject({
        status: 'completed',
        result: { n: 1 },
        assigned_node: 'n1',
      })
    })
    test('charges a job for its own failures only, and sets it aside when its tries are used up', async () => {
      const id = await speak(db())
      for (const tries of [1, 2]) {
        const [job] = await assignAll(db(), 'n1', n1)
        await finish(db(), 'n1', n1, job!, FAILS('job'))
        expect(await jobRow(db(), id)).toMatchObject({
          status: 'pending',
          tries,
          due: false,
          error: 'The engine crashed.',
        })
        await db().pool.query('update earshot.jobs set due = true')
      }
      const [job] = await assignAll(db(), 'n1', n1)
      await finish(db(), 'n1', n1, job!, FAILS('job'))
      expect(await jobRow(db(), id)).toMatchObject({
        status: 'failed',
        tries: 3,
        attempt: 3,
        error_code: 'EARSHOT_ENGINE_FAILED',
      })
      expect(await eventTypes(db(), id)).toEqual([
        'job.queued',
        'job.requeued',
        'job.requeued',
        'job.failed',
      ])
    })
    test('a verdict on the node charges the node and not the job', async () => {
      const id = await speak(db())
      const [job] = await assignAll(db(), 'n1', n1)
      await finish(db(), 'n1', n1, job!, FAILS('node'))
      expect(await jobRow(db(), id)).toMatchObject({ status: 'pending', tries: 0, due: false })
      expect(
        (await db().pool.query(`select faults from earshot.nodes where id = 'n1'`)).rows[0].faults,
      ).toBe(1)
    })
    test('a final verdict ends the job at the first try', async () => {
      const id = await speak(db())
      const [job] = await assignAll(db(), 'n1', n1)
      await finish(db(), 'n1', n1, job!, FAILS('final'))
      expect(await jobRow(db(), id)).toMatchObject({ status: 'failed', tries: 0 })
    })
  })

  describe('going back', () => {
    test("a new incarnation sends the old one's jobs back at once, uncharged; the old one is told that it was replaced", async () => {
      const id = await speak(db())
      const [job] = await assignAll(db(), 'n1', n1)
      await startJobs(db().pool, 'n1', n1, [job!])
      const again = await join(db(), 'n1')
      expect(again).toBeGreaterThan(n1)
      expect(await jobRow(db(), id)).toMatchObject({ status: 'pending', tries: 0, deaths: 1 })
      expect((await heartbeat(db().pool, 'n1', n1, {})).held).toBeNull()
      expect((await heartbeat(db().pool, 'n1', again, {})).held).toEqual([])
      expect(await deregisterNode(db().pool, 'n1', n1)).toBe(0)
    })
    test('a lease that ended sends jobs back and counts a death; the node is degraded, then offline, then online again', async () => {
      const id = await speak(db())
      await assignAll(db(), 'n1', n1)
      const term = await acquireLeadership(db().pool, 'test', true)
      const status = async () =>
        (await db().pool.query(`select status from earshot.nodes where id = 'n1'`)).rows[0].status
      await silence(db(), 'n1')
      expect(await sweep(db().pool, term!, true)).toMatchObject({ requeued: 1 })
      expect(await jobRow(db(), id)).toMatchObject({
        status: 'pending',
        deaths: 1,
        tries: 0,
        error: 'Node n1 fell silent.',
      })
      expect(await status()).toBe('degraded')
      await silence(db(), 'n1', 600)
      await sweep(db().pool, term!, true)
      expect(await status()).toBe('offline')
      await heartbeat(db().pool, 'n1', n1, {})
      expect(await status()).toBe('online')
    })
    test('without lease sweep, as on the embedded database, only what an older incarnation holds goes back', async () => {
      await speak(db())
      await assignAll(db(), 'n1', n1)
      await silence(db(), 'n1')
      const term = await acquireLeadership(db().pool, 'test', true)
      expect(await sweep(db().pool, term!, false)).toMatchObject({ requeued: 0 })
      // As when routing had read the node before it registered again, and committed afterwards.
      await db().pool.query(
        `update earshot.nodes set incarnation = incarnation + 1 where id = 'n1'`,
      )
      expect(await sweep(db().pool, term!, false)).toMatchObject({ requeued: 1 })
    })
    test('a sweep under a term that is over does nothing', async () => {
      const old = await acquireLeadership(db().pool, 'one', true)
      await acquireLeadership(db().pool, 'two', true)
      expect(await sweep(db().pool, old!, true)).toBeUndefined()
    })
    test('a handed-back job is pending again, uncharged, under no fence; one that rests is taken later', async () => {
      const ids = [await speak(db()), await speak(db())]
      const [now, later] = await assignAll(db(), 'n1', n1)
      expect(await handBackJobs(db().pool, 'n1', n1, [now!], { sentence: 'Stopping.' })).toBe(1)
      expect(
        await handBackJobs(db().pool, 'n1', n1, [later!], {
          sentence: 'The holder is away.',
          cause: 'away',
          delayS: 60,
        }),
      ).toBe(1)
      expect(await handBackJobs(db().pool, 'n1', n1, [now!], { sentence: 'Again.' })).toBe(0)
      expect((await assignAll(db(), 'n1', n1)).map((job) => job.id)).toEqual([ids[0]])
      expect(await jobRow(db(), ids[1]!)).toMatchObject({
        status: 'pending',
        due: false,
        error: 'The holder is away.',
        tries: 0,
        deaths: 0,
      })
    })
    test('an orderly leave sends back what is left', async () => {
      const id = await speak(db())
      await assignAll(db(), 'n1', n1)
      expect(await deregisterNode(db().pool, 'n1', n1)).toBe(1)
      expect(await jobRow(db(), id)).toMatchObject({ status: 'pending', deaths: 0 })
      expect(
        (await db().pool.query(`select status, reason from earshot.nodes where id = 'n1'`)).rows,
      ).toEqual([{ status: 'offline', reason: 'It was stopped.' }])
    })
  })

  describe('cancelling', () => {
    test('is final at once, whatever state the job was in, and what the holder then reports is lost', async () => {
      const [pending, running] = [await speak(db()), await speak(db())]
      await db().pool.query('update earshot.jobs set due = false where id = $1', [pending])
      const [job] = await assignAll(db(), 'n1', n1)
      expect((await cancelJobs(db().pool, [pending, running])).toSorted()).toEqual(
        [pending, running].toSorted(),
      )
      expect(await cancelJobs(db().pool, [pending, running])).toEqual([])
      expect(await finish(db(), 'n1', n1, job!, { output: {} })).toBe('lost')
      expect(await jobRow(db(), running)).toMatchObject({
        status: 'cancelled',
        error_code: 'EARSHOT_CANCELLED',
      })
      expect(await takeAssignments(db().pool, 'n1', n1, [])).toEqual([])
      expect((await heartbeat(db().pool, 'n1', n1, {})).held).toEqual([])
    })
    test('a deadline that passed ends a job, waiting or running', async () => {
      const [job] = await submitJobs(db().pool, [
        {
          kind: 'speak',
          payload: { text: 'x' },
          deadline: new Date(Date.now() - 1000).toISOString(),
        },
      ])
      const term = await acquireLeadership(db().pool, 'test', true)
      expect(await sweep(db().pool, term!, true)).toMatchObject({ overdue: 1 })
      expect(await jobRow(db(), job!.id)).toMatchObject({
        status: 'failed',
        error_code: 'EARSHOT_DEADLINE',
      })
    })
  })
})
