import { acquireLeadership } from '@earshot/db/functions/leadership'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'

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
})
