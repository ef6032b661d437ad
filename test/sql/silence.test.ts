import { acquireLeadership, sweep } from '@earshot/db/functions/leadership'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'

describe.each(databases)('the bell, on %s', (kind) => {
  let held: TestDatabase
  beforeAll(async () => {
    held = await testDatabase(kind)
  })
  afterAll(async () => {
    await held[Symbol.asyncDispose]()
  })

  test('is not rung by a sweep that changed nothing: the server commits notifications one after the other', async () => {
    const heard: string[] = []
    const told = Promise.withResolvers<void>()
    const listener = await held.db.listen(
      { earshot: (payload) => (payload === 'end' ? told.resolve() : void heard.push(payload)) },
      () => {},
    )
    const term = await acquireLeadership(held.db.pool, 'test', true)
    await sweep(held.db.pool, term!, true)
    // Notifications of one connection arrive in order, and those of several in the order of their
    // commits.
    await held.db.pool.query(`select pg_notify('earshot', 'end')`)
    await told.promise
    await listener.close()
    expect(heard).toEqual([])
  })
})
