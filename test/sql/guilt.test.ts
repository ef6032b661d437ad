import { PROTOCOL } from '@earshot/contract'
import { startJobs, submitJobs } from '@earshot/db/functions/jobs'
import {
  acquireLeadership,
  listIsolatedJobs,
  listIsolationNodes,
  routeIsolatedJob,
  sweep,
} from '@earshot/db/functions/leadership'
import {
  drainNode,
  heartbeat,
  setNodeDrain,
  quarantineNode,
  resumeNode,
} from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import {
  assignAll,
  eventTypes,
  finish,
  freeSlots,
  jobRow,
  join,
  silence,
  speak,
} from './fixture.ts'

const FAILS = (verdict: 'final' | 'job' | 'node', message = 'The engine crashed.') => ({
  error: { code: 'EARSHOT_ENGINE_FAILED' as const, message, verdict },
})
const WORKS = { output: { n: 1 } }

describe.each(databases)('guilt on %s', (kind) => {
  let test_: TestDatabase
  let n1: number
  let n2: number
  beforeAll(async () => {
    test_ = await testDatabase(kind)
    await test_.db.pool.query(
      `insert into earshot.job_kinds (kind, role) values ('count', 'tts'), ('hear', 'stt_batch')`,
    )
  })
  afterAll(async () => {
    await test_[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    for (const table of ['jobs', 'nodes', 'node_deaths'])
      await test_.db.pool.query(`delete from earshot.${table}`)
    n1 = await join(test_.db, 'n1')
    n2 = await join(test_.db, 'n2')
  })
  const db = () => test_.db
  const count = async (kind = 'count'): Promise<number> =>
    (await submitJobs(db().pool, [{ kind, payload: {} }]))[0]!.id
  const wake = () =>
    db().pool.query(
      `update earshot.jobs set due = true, run_at = now() where status = 'pending' and not alone`,
    )
  const quarantines = async () =>
    (
      await db().pool.query<{ node: string; role: string; reason: string }>(
        'select node, role, reason from earshot.quarantines order by node, role',
      )
    ).rows
  const failures = async () =>
    (
      await db().pool.query<{ node: string; job_id: number; proven: boolean }>(
        'select node, job_id, proven from earshot.node_failures order by node, job_id',
      )
    ).rows
  const faults = async (node: string) =>
    (
      await db().pool.query<{ faults: number }>('select faults from earshot.nodes where id = $1', [
        node,
      ])
    ).rows[0]!.faults

  /** The job, and no other, is given to this node, and fails or works there. */
  async function runOn(
    node: 'n1' | 'n2',
    id: number,
    outcome: Parameters<typeof finish>[4],
  ): Promise<void> {
    await db().pool.query(
      `update earshot.jobs set due = id = $1, run_at = now() + case id when $1 then '0' else '1 hour' end::interval where status = 'pending'`,
      [id],
    )
    const incarnation = node === 'n1' ? n1 : n2
    const [job] = await assignAll(db(), node, incarnation)
    expect(job?.id).toBe(id)
    expect(await finish(db(), node, incarnation, job!, outcome)).toBe('done')
  }

  describe('a node', () => {
    test('that fails at one job again and again stays free: the job may be the cause', async () => {
      const id = await count()
      for (let i = 0; i < 4; i++) await runOn('n1', id, FAILS('node'))
      expect(await quarantines()).toEqual([])
      expect(await faults('n1')).toBe(4)
      expect(await jobRow(db(), id)).toMatchObject({ status: 'pending', tries: 0 })
    })
    test('is innocent of jobs that end as failures: they failed everywhere', async () => {
      for (const id of [await count(), await count(), await count()])
        for (const node of ['n1', 'n2', 'n1', 'n2'] as const) {
          if ((await jobRow(db(), id)).status === 'pending') await runOn(node, id, FAILS('job'))
        }
      expect(await failures()).toEqual([])
      expect([await faults('n1'), await faults('n2')]).toEqual([0, 0])
    })
    test('that says three times with different jobs that it is at fault is put into quarantine, in that role only, with the reason', async () => {
      const ids = [await count(), await count(), await count()]
      for (const id of ids) await runOn('n1', id, FAILS('node', 'The disk is full.'))
      expect(await quarantines()).toEqual([
        {
          node: 'n1',
          role: 'tts',
          reason: `3 different jobs in a row failed on it, the last one was job ${ids[2]}: The disk is full.`,
        },
      ])
      expect(await freeSlots(db(), 'n1')).toMatchObject({ tts: 0, stt_batch: 100 })
    })
    test('where different jobs fail that then succeed elsewhere is put into quarantine, and not one of them is charged for it twice', async () => {
      const ids = [await count(), await count(), await count()]
      for (const id of ids) await runOn('n1', id, FAILS('job'))
      expect(await quarantines()).toEqual([])
      await runOn('n1', ids[0]!, FAILS('job'))
      expect(await jobRow(db(), ids[0]!)).toMatchObject({ tries: 1, attempt: 2 })
      for (const id of ids) await runOn('n2', id, WORKS)
      expect(await quarantines()).toMatchObject([{ node: 'n1', role: 'tts' }])
      expect([await faults('n1'), await faults('n2')]).toEqual([3, 0])
    })
    test('is cleared by a success in between: only failures in a row count', async () => {
      const ids = [await count(), await count(), await count(), await count()]
      await runOn('n1', ids[0]!, FAILS('node'))
      await runOn('n1', ids[1]!, FAILS('node'))
      await runOn('n1', ids[2]!, WORKS)
      await runOn('n1', ids[3]!, FAILS('node'))
      expect(await quarantines()).toEqual([])
    })
    test('in quarantine rests, is probed with one job at a time, rests longer when that fails uncharged, and is let back by a success', async () => {
      for (const id of [await count(), await count(), await count()])
        await runOn('n1', id, FAILS('node'))
      const rest = () => db().pool.query(`update earshot.quarantines set probe_at = now()`)
      await rest()
      expect(await freeSlots(db(), 'n1')).toMatchObject({ tts: 1 })
      const probe = await count()
      await runOn('n1', probe, FAILS('job'))
      expect(await jobRow(db(), probe)).toMatchObject({ status: 'pending', tries: 0 })
      expect(await freeSlots(db(), 'n1')).toMatchObject({ tts: 0 })
      const { rows } = await db().pool.query<{ s: number }>(
        'select extract(epoch from probe_at - now())::float8 as s from earshot.quarantines',
      )
      expect(rows[0]!.s).toBeGreaterThan(55)
      await rest()
      await runOn('n1', probe, WORKS)
      expect(await quarantines()).toEqual([])
      await db().pool.query(`delete from earshot.jobs`)
      expect(await freeSlots(db(), 'n1')).toMatchObject({ tts: 100 })
    })
    test('that starts anew is probed at once', async () => {
      for (const id of [await count(), await count(), await count()])
        await runOn('n1', id, FAILS('node'))
      await join(db(), 'n1')
      expect(await freeSlots(db(), 'n1')).toMatchObject({ tts: 1 })
    })
  })

  describe('a person', () => {
    test('drains a node: it keeps what it has, and stays drained over restarts until it is resumed', async () => {
      const id = await speak(db())
      const [job] = await assignAll(db(), 'n1', n1)
      expect(await setNodeDrain(db().pool, 'n1')).toBe(true)
      expect((await heartbeat(db().pool, 'n1', n1, {})).held).toMatchObject([{ id }])
      expect(await freeSlots(db(), 'n1')).toBeUndefined()
      await finish(db(), 'n1', n1, job!, FAILS('final'))
      await join(db(), 'n1')
      expect(await freeSlots(db(), 'n1')).toBeUndefined()
      expect(await resumeNode(db().pool, 'n1')).toBe(true)
      expect(await freeSlots(db(), 'n1')).toBeDefined()
    })
    test('takes a node out: what it has goes back at once and uncharged, and it is given nothing until it is resumed', async () => {
      const id = await speak(db())
      await assignAll(db(), 'n1', n1)
      expect(await quarantineNode(db().pool, 'n1', 'It smells of smoke.')).toBe(true)
      expect(await jobRow(db(), id)).toMatchObject({ status: 'pending', tries: 0, deaths: 0 })
      expect(await freeSlots(db(), 'n1')).toBeUndefined()
      expect(await quarantines()).toEqual([
        { node: 'n1', role: '*', reason: 'It smells of smoke.' },
      ])
      await join(db(), 'n1')
      expect(await freeSlots(db(), 'n1')).toBeUndefined()
      await resumeNode(db().pool, 'n1')
      expect(await freeSlots(db(), 'n1')).toBeDefined()
    })
    test('is told of a node that is unknown', async () => {
      expect([
        await setNodeDrain(db().pool, 'x'),
        await resumeNode(db().pool, 'x'),
        await quarantineNode(db().pool, 'x', null),
      ]).toEqual([false, false, false])
    })
  })

  describe('a death', () => {
    /**
     * The node gets the jobs, those in `running` are marked so, and it comes back without having
     * said that it would go.
     */
    async function dieOn(node: 'n1' | 'n2', running?: number[]): Promise<void> {
      await wake()
      const incarnation = node === 'n1' ? n1 : n2
      const jobs = await assignAll(db(), node, incarnation)
      await startJobs(
        db().pool,
        node,
        incarnation,
        jobs.filter((job) => running?.includes(job.id)),
      )
      const again = await join(db(), node)
      if (node === 'n1') n1 = again
      else n2 = again
    }
    const deaths = async (id: number) => (await jobRow(db(), id)).deaths
    const alone = async () => (await listIsolatedJobs(db().pool)).map((job) => job.id)

    test('tells against the jobs that ran, not against those that only waited there', async () => {
      const [ran, waited] = [await count(), await count()]
      await dieOn('n1', [ran])
      expect([await deaths(ran), await deaths(waited)]).toEqual([1, 0])
      await dieOn('n1')
      expect([await deaths(ran), await deaths(waited)]).toEqual([2, 1])
    })
    test('tells against those that it would have begun with, where it had not said what it ran and held more than it has slots for', async () => {
      const [first, second, queued] = [await count(), await count(), await count()]
      n1 = await join(db(), 'n1', { slots: { tts: 2 } })
      await assignAll(db(), 'n1', n1)
      await silence(db(), 'n1')
      expect(
        await sweep(db().pool, (await acquireLeadership(db().pool, 'test', true))!, true),
      ).toMatchObject({
        requeued: 3,
      })
      expect([await deaths(first), await deaths(second), await deaths(queued)]).toEqual([1, 1, 0])
      n1 = await join(db(), 'n1')
    })
    test('that was announced tells against nobody, even if the node did not get to the end of its work', async () => {
      const id = await count()
      await assignAll(db(), 'n1', n1)
      await drainNode(db().pool, 'n1', n1)
      await silence(db(), 'n1')
      const term = await acquireLeadership(db().pool, 'test', true)
      expect(await sweep(db().pool, term!, true)).toMatchObject({ requeued: 1 })
      expect(await deaths(id)).toBe(0)
      n1 = await join(db(), 'n1')
      await assignAll(db(), 'n1', n1)
      await drainNode(db().pool, 'n1', n1)
      await join(db(), 'n1')
      expect(await deaths(id)).toBe(0)
    })
    test('three times on one of several nodes isolates the job, and names the node that died', async () => {
      const id = await count()
      await dieOn('n1')
      await dieOn('n1')
      expect(await alone()).toEqual([])
      await dieOn('n1')
      expect(await listIsolatedJobs(db().pool)).toMatchObject([{ id, died_on: ['n1'] }])
    })

    describe('of the only node', () => {
      beforeEach(async () => {
        await db().pool.query(`delete from earshot.nodes where id = 'n2'`)
      })
      const BOOT = 'first boot'
      /** The only node gets the jobs, dies, and comes back on this start of the machine. */
      async function dieHere(boot_id: string | null = BOOT, lostFirst = false): Promise<void> {
        await wake()
        const [isolated] = await alone()
        const term = await acquireLeadership(db().pool, 'test', true)
        if (isolated !== undefined) {
          const [node] = await listIsolationNodes(db().pool, PROTOCOL)
          expect(await routeIsolatedJob(db().pool, term!, isolated, node!)).toBe(true)
        }
        await assignAll(db(), 'n1', n1)
        if (lostFirst) {
          await silence(db(), 'n1')
          await sweep(db().pool, term!, true)
        }
        n1 = await join(db(), 'n1', { boot_id })
      }
      beforeEach(async () => {
        n1 = await join(db(), 'n1', { boot_id: BOOT })
        await db().pool.query('delete from earshot.node_deaths')
      })

      test('three times ends the job as poison; one beside it is acquitted', async () => {
        const [poison, beside] = [await count(), await count()]
        await dieHere()
        await dieHere()
        expect(await alone()).toEqual([poison, beside])
        await dieHere()
        expect(await jobRow(db(), poison)).toMatchObject({
          status: 'failed',
          error_code: 'EARSHOT_POISON',
          error: 'Nodes died 3 times while they ran it, at last n1, where it ran alone.',
        })
        const [node] = await listIsolationNodes(db().pool, PROTOCOL)
        const term = await acquireLeadership(db().pool, 'test', true)
        expect(await routeIsolatedJob(db().pool, term!, beside, node!)).toBe(true)
        const [job] = await assignAll(db(), 'n1', n1)
        expect(await finish(db(), 'n1', n1, job!, WORKS)).toBe('done')
      })
      test('three times tells as much where the system has no boot id', async () => {
        n1 = await join(db(), 'n1')
        await db().pool.query('delete from earshot.node_deaths')
        const id = await count()
        for (let i = 0; i < 3; i++) await dieHere(null)
        expect(await jobRow(db(), id)).toMatchObject({ error_code: 'EARSHOT_POISON' })
      })
      test.each([false, true])(
        'does not tell against a job when the machine rebooted (lost first: %s)',
        async (lostFirst) => {
          const id = await count()
          for (const boot of ['2', '3', '4', '5']) await dieHere(boot, lostFirst)
          expect(await jobRow(db(), id)).toMatchObject({ status: 'pending', deaths: 0 })
          expect(await alone()).toEqual([])
          // Without another reboot the same deaths tell against it.
          await dieHere('5', lostFirst)
          await dieHere('5', lostFirst)
          expect(await alone()).toEqual([id])
        },
      )
      test('tells nothing when the node was stopped, however often', async () => {
        const id = await count()
        for (let i = 0; i < 4; i++) {
          await wake()
          await assignAll(db(), 'n1', n1)
          await drainNode(db().pool, 'n1', n1)
          n1 = await join(db(), 'n1', { boot_id: BOOT })
        }
        expect(await jobRow(db(), id)).toMatchObject({ status: 'pending', deaths: 0 })
      })
    })
    test('sets no job apart while nodes die without it as well', async () => {
      const id = await count()
      await dieOn('n1')
      for (let i = 0; i < 4; i++) await join(db(), `other${i}`).then(() => join(db(), `other${i}`))
      await dieOn('n2')
      await dieOn('n1')
      expect(await deaths(id)).toBe(3)
      expect(await alone()).toEqual([])
    })
    test('of several nodes at once, as in a power cut, sets no job apart', async () => {
      const id = await count()
      for (const node of ['n1', 'n2', 'n1'] as const) {
        await dieOn(node)
        const idle = node === 'n1' ? 'n2' : 'n1'
        const again = await join(db(), idle)
        if (idle === 'n1') n1 = again
        else n2 = again
        // The cuts lie an hour apart.
        await db().pool.query(`update earshot.node_deaths set at = at - interval '1 hour'`)
      }
      await dieOn('n2')
      expect(await deaths(id)).toBe(4)
      expect(await alone()).toEqual([])
    })
    test('sets no job apart when as many nodes die without it', async () => {
      const id = await count()
      const later = () =>
        db().pool.query(`update earshot.node_deaths set at = at - interval '1 hour'`)
      await dieOn('n1')
      await later()
      for (let i = 0; i < 3; i++) await join(db(), `other${i}`).then(() => join(db(), `other${i}`))
      await later()
      await dieOn('n2')
      await dieOn('n1')
      expect(await deaths(id)).toBe(3)
      expect(await alone()).toEqual([])
    })
    test('where the job ran alone does not end it when another node died at the same time', async () => {
      const id = await count()
      for (const node of ['n1', 'n2', 'n1'] as const) await dieOn(node)
      expect(await alone()).toEqual([id])
      const dieAlone = async () => {
        const term = await acquireLeadership(db().pool, 'test', true)
        const node = (await listIsolationNodes(db().pool, PROTOCOL)).find(
          (free) => free.id === 'n2',
        )!
        expect(await routeIsolatedJob(db().pool, term!, id, node)).toBe(true)
        await dieOn('n2')
      }
      n1 = await join(db(), 'n1')
      await dieAlone()
      expect(await jobRow(db(), id)).toMatchObject({ status: 'pending', deaths: 4 })
      expect(await alone()).toEqual([id])
      await db().pool.query(`update earshot.node_deaths set at = at - interval '1 hour'`)
      await dieAlone()
      expect(await jobRow(db(), id)).toMatchObject({
        status: 'failed',
        error_code: 'EARSHOT_POISON',
      })
    })
    test('three times on two nodes sets the job apart; alone it is acquitted, or set aside with its history', async () => {
      const [poison, scapegoat] = [await count(), await count()]
      await dieOn('n1')
      await dieOn('n2')
      await dieOn('n1')
      expect(await alone()).toEqual([poison, scapegoat])
      await wake()
      expect(await assignAll(db(), 'n2', n2)).toEqual([])

      const term = await acquireLeadership(db().pool, 'test', true)
      const other = await speak(db())
      await assignAll(db(), 'n2', n2)
      const node = async () =>
        (await listIsolationNodes(db().pool, PROTOCOL)).find(({ id }) => id === 'n2')!
      expect(await node()).toMatchObject({ open: 1, reserved_for: null })
      expect(await routeIsolatedJob(db().pool, term!, scapegoat, await node())).toBe(false)
      expect(await freeSlots(db(), 'n2')).toBeUndefined()
      const [siblingModule] = await assignAll(db(), 'n2', n2)
      expect(siblingModule!.id).toBe(other)
      await finish(db(), 'n2', n2, siblingModule!, FAILS('final'))
      expect(await routeIsolatedJob(db().pool, term!, scapegoat, await node())).toBe(true)
      const [job] = await assignAll(db(), 'n2', n2)
      expect(job!.id).toBe(scapegoat)
      expect(await freeSlots(db(), 'n2')).toBeUndefined()
      expect(await finish(db(), 'n2', n2, job!, WORKS)).toBe('done')
      expect(await freeSlots(db(), 'n2')).toBeDefined()

      expect(await routeIsolatedJob(db().pool, term!, poison, await node())).toBe(true)
      await dieOn('n2')
      expect(await jobRow(db(), poison)).toMatchObject({
        status: 'failed',
        error_code: 'EARSHOT_POISON',
        deaths: 4,
        error: 'Nodes died 4 times while they ran it, at last n2, where it ran alone.',
      })
      expect(await eventTypes(db(), poison)).toEqual([
        'job.queued',
        'job.requeued',
        'job.requeued',
        'job.requeued',
        'job.suspected',
        'job.failed',
      ])
    })
  })
})
