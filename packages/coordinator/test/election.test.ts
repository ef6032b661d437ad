import { acquireLeadership } from '@earshot/db/functions/leadership'
import { monotonicMs } from '@earshot/db/monotonic'
import { silentLog } from '@earshot/shared/log'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../../../test/helpers/database.ts'
import { createLeadership } from '../src/leader/election.ts'

describe.each(databases)('leadership on %s', (kind) => {
  const leadership = (db: Parameters<typeof createLeadership>[0]['db']) =>
    createLeadership({ db, holder: 'this one', force: false, log: silentLog(), onLead: () => {} })

  test('stops in order when the database is gone, so that what stops after it does stop', async () => {
    const held = await testDatabase(kind)
    const leading = leadership(held.db)
    await leading.start()
    expect(leading.term()).not.toBeNull()
    await held[Symbol.asyncDispose]()
    await leading.stop()
    expect(leading.term()).toBeNull()
  })

  // On the embedded database there is no lease to judge by it.
  test.runIf(kind === 'postgres')(
    'what this box slept through does not count as led, even when nobody else led meanwhile',
    async () => {
      await using held = await testDatabase(kind)
      const leading = leadership(held.db)
      await leading.start()
      await expect.poll(leading.judgesLeasesAt, { timeout: 20_000 }).not.toBeNull()
      const until = monotonicMs() + 3000
      while (monotonicMs() < until); // nothing else runs in this thread, as on a box that sleeps
      await expect.poll(leading.judgesLeasesAt, { timeout: 10_000 }).toBeNull()
      await expect.poll(leading.judgesLeasesAt, { timeout: 30_000 }).not.toBeNull()
      expect(leading.term()).toBe('1')
      await leading.stop()
    },
  )

  test.each([20_000, -3_600_000])(
    'gives live nodes time to renew their leases when the clock was set by %d ms, without a new term',
    async (stepMs) => {
      await using held = await testDatabase(kind)
      let aheadMs = 0
      const query = held.db.pool.query.bind(held.db.pool) as (text: unknown) => Promise<unknown>
      held.db.pool.query = (async (text: unknown) => {
        const answer = (await query(text)) as { rows: { now?: number }[] }
        for (const row of answer.rows) if (row.now !== undefined) row.now += aheadMs / 1000
        return answer
      }) as typeof held.db.pool.query
      const leading = leadership(held.db)
      await leading.start()
      expect(leading.judgesLeasesAt()).toBeNull()
      await expect.poll(leading.judgesLeasesAt, { timeout: 20_000 }).not.toBeNull()
      const before = leading.judgesLeasesAt()! - monotonicMs()

      aheadMs = stepMs
      await expect.poll(leading.judgesLeasesAt, { timeout: 10_000 }).toBeNull()
      await expect.poll(leading.judgesLeasesAt, { timeout: 20_000 }).not.toBeNull()
      const moved = leading.judgesLeasesAt()! - monotonicMs() - before
      expect(Math.abs(moved - stepMs)).toBeLessThan(2000)
      expect(leading.term()).toBe('1')
      await leading.stop()
    },
  )

  test('is free for the next one at once after an orderly stop', async () => {
    await using held = await testDatabase(kind)
    await held.db.pool.query(`update earshot.settings set leadership = '1 hour'`)
    const leading = leadership(held.db)
    await leading.start()
    expect(await acquireLeadership(held.db.pool, 'next', false)).toBeNull()
    await leading.stop()
    expect(await acquireLeadership(held.db.pool, 'next', false)).not.toBeNull()
  })
})
