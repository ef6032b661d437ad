import { type Assignment, givenToNode, takeAssignments } from '@earshot/db/functions/jobs'
import { acquireLeadership, routeJobs } from '@earshot/db/functions/leadership'
import { nodeChannel, setWakeTransport } from '@earshot/db/functions/nodes'
import { describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, join, speak } from './fixture.ts'

describe.each(databases)('assigning on %s', (kind) => {
  /** What two nodes are told while a job is assigned to the first. */
  async function tell(
    { db }: TestDatabase,
    submit: () => Promise<unknown>,
  ): Promise<{
    told: string[]
    payload: string
    channels: string[]
    jobs: Assignment[]
    incarnation: number
  }> {
    const incarnation = await join(db, 'n1')
    await join(db, 'n2')
    const told: string[] = []
    const heard = Promise.withResolvers<string>()
    const channels = await Promise.all(['n1', 'n2'].map((id) => nodeChannel(db.pool, id)))
    const hear = (channel: string) => (payload: string) => {
      told.push(channel)
      heard.resolve(payload)
    }
    await db.listen(
      Object.fromEntries(channels.map((channel) => [channel, hear(channel)])),
      () => {},
    )
    await submit()
    const jobs = await assignAll(db, 'n1', incarnation)
    return { told, payload: await heard.promise, channels, jobs, incarnation }
  }

  test('tells the node at once, which would otherwise find its job two seconds later, and all that it needs to begin', async () => {
    await using test_ = await testDatabase(kind)
    const { told, payload, channels, jobs, incarnation } = await tell(test_, () =>
      speak(test_.db, 'hello', { deadline: '2100-01-01T00:00:00Z' }),
    )
    expect(told).toEqual([channels[0]])
    const given = givenToNode(JSON.parse(payload))
    expect(given).toEqual({ incarnation, at: expect.any(Number), jobs })
    expect(jobs).toEqual(await takeAssignments(test_.db.pool, 'n1', incarnation, []))
    const {
      rows: [clock],
    } = await test_.db.pool.query(
      `select extract(epoch from assigned_at)::float8 as at from earshot.jobs`,
    )
    expect(given.at).toBeCloseTo(clock.at, 3)
  })

  test('only wakes the node where the job is longer than a notification may be', async () => {
    await using test_ = await testDatabase(kind)
    const { payload, jobs } = await tell(test_, () => speak(test_.db, 'ö'.repeat(4000)))
    expect(payload).toBe('')
    expect(jobs).toHaveLength(1)
  })

  test.each([1, 2])(
    'gives whoever wakes the node through Redis what it would notify: of %i jobs that are long only who was given them',
    async (count) => {
      await using test_ = await testDatabase(kind)
      const { db } = test_
      const incarnation = await join(db, 'n1')
      await setWakeTransport(db.pool, 'n1', incarnation, 'redis')
      const term = (await acquireLeadership(db.pool, 'test', true))!
      const route = async (text: string) => {
        const given = []
        for (let i = 0; i < count; i++)
          given.push({ job: await speak(db, text), node: 'n1', incarnation })
        return routeJobs(db.pool, term, given, true)
      }
      const short = await route('hello')
      expect(short).toHaveLength(count)
      for (const { by_redis, carried } of short)
        expect({ by_redis, jobs: carried?.jobs.length }).toEqual({ by_redis: true, jobs: count })
      const long = await route('ö'.repeat(4000))
      expect(long.map(({ by_redis, carried }) => ({ by_redis, carried }))).toEqual(
        long.map(() => ({ by_redis: true, carried: null })),
      )
      expect(long).toHaveLength(count)
    },
  )
})
