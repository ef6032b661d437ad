import { setTimeout as sleep } from 'node:timers/promises'
import { acquireLeadership, sweep } from '@earshot/db/functions/leadership'
import { heartbeat } from '@earshot/db/functions/nodes'
import { finishJobs, submitJobs } from '@earshot/db/functions/jobs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, jobRow, join, silence } from './fixture.ts'

// The embedded database runs one statement at a time: there is no open transaction beside another.
describe.each(databases.filter((kind) => kind === 'postgres'))(
  'while an open transaction holds a row, on %s',
  (kind) => {
    let held: TestDatabase
    let term: string
    beforeAll(async () => {
      held = await testDatabase(kind)
      await sql(`insert into earshot.job_kinds (kind, role) values ('step', 'tts')`)
      await sql(`update earshot.settings set leadership = '1 hour'`)
    })
    afterAll(() => held[Symbol.asyncDispose]())
    beforeEach(async () => {
      for (const table of ['job_parents', 'jobs', 'nodes'])
        await sql(`delete from earshot.${table}`)
      term = (await acquireLeadership(held.db.pool, 'test', true))!
    })
    const sql = (text: string, values: unknown[] = []) => held.db.pool.query(text, values)
    const submit = async (more: object = {}) =>
      (await submitJobs(held.db.pool, [{ kind: 'step', payload: {}, ...more }]))[0]!.id
    const waiting = async () =>
      (
        await sql(
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        )
      ).rowCount!
    const sweepAll = () => sweep(held.db.pool, term, true)

    /** Runs `act` while a transaction that ran `statement` stays open. */
    async function holding<T>(
      statement: string,
      values: unknown[],
      act: () => Promise<T>,
    ): Promise<T> {
      const client = await held.db.pool.connect()
      try {
        await client.query('begin')
        await client.query(statement, values)
        return await act()
      } finally {
        await client.query('rollback')
        client.release()
      }
    }

    test('the jobs of a silent node go back, though one of them or its node is held', async () => {
      const [a, b] = [await submit(), await submit()]
      await assignAll(held.db, 'n1', await join(held.db, 'n1'))
      await silence(held.db, 'n1')
      await holding('select from earshot.jobs where id = $1 for update', [a], () =>
        holding(`select from earshot.nodes where id = 'n1' for update`, [], async () => {
          expect(await sweepAll()).toMatchObject({ requeued: 1 })
          expect(await jobRow(held.db, b)).toMatchObject({ status: 'pending' })
        }),
      )
      expect(await sweepAll()).toMatchObject({ requeued: 1 })
    })

    test('jobs end at their deadline, though one of them or the child of another is held', async () => {
      const deadline = '2020-01-01T00:00:00Z'
      const [a, b] = [await submit({ deadline }), await submit({ deadline })]
      const child = await submit({ after: [b] })
      await submit({ deadline })
      await holding(
        'select from earshot.jobs where id = any ($1) for update',
        [[a, child]],
        async () => {
          expect(await sweepAll()).toMatchObject({ overdue: 1 })
        },
      )
      expect(await sweepAll()).toMatchObject({ overdue: 2 })
    })

    test('a node whose row is held keeps its lease', async () => {
      const incarnation = await join(held.db, 'n1')
      await silence(held.db, 'n1')
      await holding(`select from earshot.nodes where id = 'n1' for update`, [], async () => {
        expect((await heartbeat(held.db.pool, 'n1', incarnation, {})).held).toEqual([])
        const { rows } = await sql(
          'select lease_until > clock_timestamp() as alive from earshot.nodes',
        )
        expect(rows).toEqual([{ alive: true }])
        expect((await heartbeat(held.db.pool, 'n1', incarnation - 1, {})).held).toBeNull()
      })
    })

    test('what is free is finished, and what is held, itself or its child, is busy until it is free', async () => {
      const incarnation = await join(held.db, 'n1')
      const [a, b] = [await submit(), await submit()]
      const child = await submit({ after: [b] })
      await submit()
      const jobs = await assignAll(held.db, 'n1', incarnation)
      const ended = jobs.map((job) => ({ ...job, outcome: { output: {} } }))
      const finishAll = async () =>
        (await finishJobs(held.db.pool, 'n1', incarnation, ended))
          .map(({ answer }) => answer)
          .sort()
      await holding(
        'select from earshot.jobs where id = any ($1) for share',
        [[a, child]],
        async () => {
          expect(await finishAll()).toEqual(['busy', 'busy', 'done'])
        },
      )
      expect(await finishAll()).toEqual(['already', 'done', 'done'])
    })

    test('a report and a cancelling that end jobs of one tree do not deadlock', async () => {
      const incarnation = await join(held.db, 'n1')
      const parent = await submit()
      const child = await submit({ after: [parent] })
      const other = await submit()
      const jobs = await assignAll(held.db, 'n1', incarnation)
      let settled = false
      const { finishing, cancelling } = await holding(
        'select from earshot.jobs where id = $1 for update',
        [other],
        async () => {
          // Not through our wrappers, which try again after a deadlock.
          const finishing = sql(
            `select answer from earshot.finish_jobs('n1', $1, $2::bigint[], $3::bigint[], array['{"output": {}}', '{"output": {}}']::jsonb[])`,
            [incarnation, jobs.map((job) => job.id), jobs.map((job) => job.fence)],
          ).finally(() => (settled = true))
          finishing.catch(() => {})
          while (!settled && (await waiting()) < 1) await sleep(10)
          const before = await waiting()
          const cancelling = sql('select earshot.cancel_jobs($1)', [[child, other]])
          cancelling.catch(() => {})
          while ((await waiting()) <= before) await sleep(10)
          return { finishing, cancelling }
        },
      )
      expect((await finishing).rows.map(({ answer }) => answer).sort()).toEqual(['busy', 'done'])
      expect((await cancelling).rowCount).toBe(2)
    })
  },
)
