import { submitJobs } from '@earshot/db/functions/jobs'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { silentLog } from '@earshot/shared/log'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { createRetention } from '../src/leader/retention.ts'
import { type Mesh, startMesh } from './mesh.ts'
import { joinNode } from './node-by-hand.ts'

describe.each(databases)('the archive on %s', (kind) => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await startMesh(kind)
  })
  afterAll(() => mesh[Symbol.asyncDispose]())

  const count = async (table: 'jobs' | 'jobs_archive') =>
    (
      await mesh.test.db.pool.query<{ n: number }>(
        `select count(*)::int as n from earshot.${table}`,
      )
    ).rows[0]!.n

  test('moves nothing while another leads, then everything old in batches; what was moved is still seen over HTTP', async () => {
    const { db } = mesh.test
    await submitJobs(
      db.pool,
      Array.from({ length: 1300 }, (_, at) => ({ kind: 'speak', payload: { text: `line ${at}` } })),
    )
    await mesh.client.cancel((await mesh.client.jobs({ limit: 1000 })).map(({ id }) => id))
    await db.pool.query(
      `update earshot.jobs set status = 'failed', error = 'Old.', error_code = 'EARSHOT_INTERNAL', finished_at = now() - interval '91 days' where id % 5 > 0`,
    )
    await db.pool.query(
      `update earshot.jobs set finished_at = now() - interval '8 days' where status = 'cancelled'`,
    )
    const { rows } = await db.pool.query<{ old: number }>(
      'select count(*)::int as old from earshot.jobs where finished_at is not null',
    )
    const { id: fresh } = await mesh.client.enqueue('speak', { text: 'fresh' }, { priority: 100 })
    const node = await joinNode(db)
    const job = await node.take()
    expect(job.id).toBe(fresh)
    await node.finish(job, {
      error: { code: 'EARSHOT_ENGINE_FAILED', message: 'Fresh.', verdict: 'final' },
    })

    const term = await acquireLeadership(db.pool, 'archiver', true)
    let leading: string | null = '0'
    const archive = createRetention({ db, term: () => leading, retention: {}, log: silentLog() })
    archive.start()
    archive.kick()
    await archive.stop()
    expect(await count('jobs_archive')).toBe(0)

    await db.pool.query(`update earshot.settings set leadership = '1 minute'`)
    await acquireLeadership(db.pool, 'archiver', false)
    leading = term
    archive.start()
    archive.kick()
    await vi.waitFor(async () => expect(await count('jobs_archive')).toBe(rows[0]!.old), {
      timeout: 20_000,
      interval: 100,
    })
    await archive.stop()
    expect(rows[0]!.old).toBeGreaterThan(1000)
    expect(await count('jobs')).toBe(1301 - rows[0]!.old)

    const {
      rows: [moved],
    } = await db.pool.query<{ id: number }>(
      `select max(id) as id from earshot.jobs_archive where status = 'failed'`,
    )
    expect(await mesh.client.get(moved!.id)).toMatchObject({
      id: moved!.id,
      error: { message: 'Old.' },
    })
    expect((await mesh.client.jobs({ status: 'failed', limit: 2 })).map(({ id }) => id)).toEqual([
      fresh,
      moved!.id,
    ])
    expect(await mesh.client.jobs({ ids: [moved!.id, fresh] })).toHaveLength(2)
  })
})
