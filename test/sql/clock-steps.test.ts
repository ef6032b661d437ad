import { acquireLeadership, sweep } from '@earshot/db/functions/leadership'
import { heartbeat } from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, jobRow, join, silence, speak } from './fixture.ts'

describe.each(databases)('a step of the clock, on %s', (kind) => {
  let held: TestDatabase
  beforeAll(async () => {
    held = await testDatabase(kind)
    await held.db.pool.query(`update earshot.settings set leadership = '1 minute'`)
  })
  afterAll(() => held[Symbol.asyncDispose]())

  test('back by an hour leaves a leader that died no hour of leadership', async () => {
    const term = await acquireLeadership(held.db.pool, 'first', false)
    expect(term).not.toBeNull()
    expect(await acquireLeadership(held.db.pool, 'second', false)).toBeNull()
    // What the row looks like once the clock was set back.
    await held.db.pool.query(
      `update earshot.leader set expires_at = expires_at + interval '1 hour'`,
    )
    expect(BigInt((await acquireLeadership(held.db.pool, 'second', false))!)).toBeGreaterThan(
      BigInt(term!),
    )
    expect(await acquireLeadership(held.db.pool, 'first', false)).toBeNull()
  })

  const query = async (text: string) => (await held.db.pool.query(text)).rows
  const sweepAt = async (aheadMs: number) => {
    const term = await acquireLeadership(held.db.pool, 'test', true)
    const [row] = await query('select extract(epoch from clock_timestamp())::float8 * 1000 as ms')
    return sweep(held.db.pool, term!, () => row.ms + aheadMs)
  }

  test('ahead by 20 s takes no job back and counts no death; a node that is gone loses its jobs later', async () => {
    const n1 = await join(held.db, 'n1')
    const id = await speak(held.db)
    await assignAll(held.db, 'n1', n1)
    // What the rows look like once the clock was set, and what the leader's own clock says then.
    await silence(held.db, 'n1', 20)
    expect(await sweepAt(-20_000)).toMatchObject({ requeued: 0 })
    expect(await jobRow(held.db, id)).toMatchObject({ status: 'assigned', deaths: 0 })
    expect(await query('select node from earshot.node_deaths')).toEqual([])
    expect(await query(`select status from earshot.nodes`)).toEqual([{ status: 'online' }])

    await heartbeat(held.db.pool, 'n1', n1, {})
    expect(await sweepAt(0)).toMatchObject({ requeued: 0 })
    await silence(held.db, 'n1', 20)
    expect(await sweepAt(0)).toMatchObject({ requeued: 1 })
    expect(await jobRow(held.db, id)).toMatchObject({ status: 'pending', deaths: 1 })
  })

  test('back by an hour leaves the lease of a node that is gone as long as any other', async () => {
    await join(held.db, 'n2')
    await query(`update earshot.node_leases
      set last_seen = last_seen + interval '1 hour', lease_until = lease_until + interval '1 hour'`)
    await sweepAt(0)
    expect(
      await query(`select node from earshot.node_leases, earshot.settings
        where last_seen > clock_timestamp() or lease_until > clock_timestamp() + lease`),
    ).toEqual([])
  })
})
