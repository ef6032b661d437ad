import { setTimeout as sleep } from 'node:timers/promises'
import { handBackJobs } from '@earshot/db/functions/jobs'
import { acquireLeadership, sweep } from '@earshot/db/functions/leadership'
import { deregisterNode, quarantineNode } from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, jobRow, join, silence, speak } from './fixture.ts'

// The embedded database runs one statement at a time: no one can get in between.
describe.each(databases.filter((kind) => kind === 'postgres'))(
  'a job that another node was given meanwhile, on %s',
  (kind) => {
    let held: TestDatabase
    let n1: number
    beforeAll(async () => {
      held = await testDatabase(kind)
    })
    afterAll(async () => {
      await held[Symbol.asyncDispose]()
    })
    beforeEach(async () => {
      await held.db.pool.query('delete from earshot.jobs')
      n1 = await join(held.db, 'n1')
    })
    const db = () => held.db

    /**
     * Lets `act` begin while the job's row is locked, and gives the job to n2 before it can go on.
     */
    async function whileItMoves<T>(job: number, act: () => Promise<T>): Promise<T> {
      const n2 = await join(db(), 'n2')
      const client = await db().pool.connect()
      try {
        await client.query('begin')
        await client.query(
          `update earshot.jobs set assigned_node = 'n2', incarnation = $2, fence = 1 where id = $1`,
          [job, n2],
        )
        const acting = act()
        await somebodyWaits()
        await client.query('commit')
        return await acting
      } finally {
        client.release()
      }
    }

    async function somebodyWaits(): Promise<void> {
      const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      while ((await db().pool.query(waiting)).rowCount === 0) await sleep(10)
    }

    test.each([
      [
        'a late hand-back',
        (job: { id: number; fence: string }) =>
          handBackJobs(db().pool, 'n1', n1, [job], { sentence: 'Late.' }),
      ],
      ['a late leave', () => deregisterNode(db().pool, 'n1', n1)],
      ['a new start of its old node', () => join(db(), 'n1')],
      ['a quarantine of its old node', () => quarantineNode(db().pool, 'n1', null)],
    ])('is not taken from it by %s', async (_, act) => {
      await speak(db())
      const [job] = await assignAll(db(), 'n1', n1)
      await whileItMoves(job!.id, async () => act(job!))
      expect(await jobRow(db(), job!.id)).toMatchObject({ status: 'assigned', assigned_node: 'n2' })
    })

    test('a sweep and a node that starts anew wait for each other, and neither is refused for a deadlock', async () => {
      await speak(db())
      const [job] = await assignAll(db(), 'n1', n1)
      const term = await acquireLeadership(db().pool, 'test', true)
      await db().pool.query(`update earshot.settings set leadership = '1 hour'`)
      await acquireLeadership(db().pool, 'test', true)
      await silence(db(), 'n1')
      const client = await db().pool.connect()
      try {
        // The order in which register_node takes them: the node, then its jobs.
        await client.query('begin')
        await client.query(`select from earshot.nodes where id = 'n1' for no key update`)
        const sweeping = sweep(db().pool, term!, true)
        await somebodyWaits()
        await client.query('select from earshot.jobs where id = $1 for update', [job!.id])
        await client.query('commit')
        expect(await sweeping).toMatchObject({ requeued: 1 })
      } finally {
        client.release()
      }
    })
  },
)
