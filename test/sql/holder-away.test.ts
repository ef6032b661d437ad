import { submitDocument } from '@earshot/db/functions/documents'
import { handBackJobs, submitJobs } from '@earshot/db/functions/jobs'
import { touchCoordinator, acquireLeadership, sweep } from '@earshot/db/functions/leadership'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, join } from './fixture.ts'

const HASH = 'a'.repeat(64)

describe.each(databases)('jobs whose media is out of reach, on %s', (kind) => {
  let held: TestDatabase
  beforeAll(async () => {
    held = await testDatabase(kind)
  })
  afterAll(async () => {
    await held[Symbol.asyncDispose]()
  })

  test('rest until their holder is back, and no longer; what is to start later waits on', async () => {
    const { pool } = held.db
    const greet = (id: string) =>
      touchCoordinator(pool, { id, url: `http://${id}`, version: '1', protocol: 1 })
    const due = async () => {
      await sweep(pool, (await acquireLeadership(pool, 'test', true))!, true)
      return (await pool.query<{ id: number }>('select id from earshot.jobs where due')).rows.map(
        (row) => row.id,
      )
    }
    const n1 = await join(held.db, 'n1')
    await greet('desk')
    await greet('attic')
    const { job_id } = await submitDocument(pool, {
      hash: HASH,
      size: 1,
      holder: 'desk',
      path: '/a.wav',
      title: 'a.wav',
      kind: 'audio',
    })
    const [job] = await assignAll(held.db, 'n1', n1)
    await handBackJobs(pool, 'n1', n1, [job!], {
      sentence: 'The holder is away.',
      cause: 'away',
      delayS: 300,
    })
    await submitJobs(pool, [
      {
        kind: 'transcribe',
        payload: { media: HASH },
        run_at: new Date(Date.now() + 3_600_000).toISOString(),
      },
    ])
    await greet('desk')
    await pool.query(`update earshot.coordinators set last_seen = now() - interval '1 day'`)
    await greet('attic')
    expect(await due()).toEqual([])
    await greet('desk')
    expect(await due()).toEqual([job_id])
  })
})
