import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { type Mesh, startMesh } from './mesh.ts'
import { joinNode } from './node-by-hand.ts'

const BROKE = {
  error: {
    code: 'EARSHOT_ENGINE_FAILED' as const,
    message: 'The voice broke.',
    verdict: 'final' as const,
  },
}

describe.each(databases)('holding nodes back, cancelling and retrying over HTTP (%s)', (kind) => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await startMesh(kind)
  })
  afterAll(() => mesh[Symbol.asyncDispose]())
  beforeEach(() => mesh.test.db.pool.query('delete from earshot.jobs'))

  const speak = async (options: object = {}) =>
    (await mesh.client.enqueue('speak', { text: 'x' }, options)).id
  async function failed(node = 'box'): Promise<number> {
    const id = await speak({ priority: 100 })
    const box = await joinNode(mesh.test.db, node)
    await box.finish(await box.take(), BROKE)
    return id
  }

  test('a node that was killed says for how long it has been silent', async () => {
    await joinNode(mesh.test.db, 'killed')
    const { pool } = mesh.test.db
    await pool.query(`update earshot.node_registry set status = 'degraded' where id = 'killed'`)
    await pool.query(
      `update earshot.node_leases set last_seen = clock_timestamp() - interval '90 seconds' where node = 'killed'`,
    )
    const node = (await mesh.client.nodes()).find(({ id }) => id === 'killed')
    expect(node).toMatchObject({ status: 'degraded', reason: 'It sent no heartbeat for 90 s.' })
    await pool.query(`delete from earshot.node_registry where id = 'killed'`)
  })

  test('an unknown node, a job that never was, and a choice that says nothing are refused', async () => {
    await expect(mesh.client.drainNode('x/y')).rejects.toMatchObject({
      code: 'EARSHOT_NOT_FOUND',
      message: 'There is no node "x/y".',
    })
    await expect(mesh.client.retry(999_999)).rejects.toMatchObject({ code: 'EARSHOT_NOT_FOUND' })
    await expect(mesh.client.retry({})).rejects.toMatchObject({ code: 'EARSHOT_BAD_REQUEST' })
    await expect(mesh.client.cancel({ status: ['open' as 'pending'] })).rejects.toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      field: 'status[0]',
    })
  })

  test('a node is drained, taken out and resumed, and shows it', async () => {
    await joinNode(mesh.test.db, 'box')
    expect(await mesh.client.drainNode('box')).toMatchObject({
      id: 'box',
      drained: true,
      reason: 'It is drained.',
      quarantines: [],
    })
    const out = await mesh.client.quarantineNode('box', { reason: 'It smells of smoke.' })
    expect(out).toMatchObject({
      drained: true,
      quarantines: [
        {
          role: '*',
          reason: 'It smells of smoke.',
          probe_at: null,
          since: expect.stringMatching(/Z$/),
        },
      ],
    })
    expect(await mesh.client.resumeNode('box')).toMatchObject({
      drained: false,
      reason: null,
      quarantines: [],
    })
  })

  test('a failed job is tried again afresh, and only what failed, was cancelled or rests is', async () => {
    const [bad, open] = [await failed(), await speak()]
    expect(await mesh.client.retry([bad, open])).toEqual({ retried: [bad] })
    expect(await mesh.client.get(bad)).toMatchObject({
      status: 'pending',
      tries: 0,
      error: null,
      finished_at: null,
    })
    expect(await mesh.client.retry(bad)).toEqual({ retried: [] })
    expect((await mesh.client.get(bad)).history?.map(({ type }) => type)).toEqual([
      'job.queued',
      'job.failed',
      'job.retried',
    ])
  })

  test('a choice picks by status, kind, node and age; a dry run only shows', async () => {
    const [here, there] = [await failed('here'), await failed('there')]
    const open = await speak()
    expect(
      await mesh.client.retry({ status: ['failed'], node: 'here' }, { dry_run: true }),
    ).toEqual({ retried: [here], dry_run: true })
    expect(await mesh.client.retry({ status: ['failed'], older_s: 60 }, { dry_run: true })).toEqual(
      { retried: [], dry_run: true },
    )
    expect(await mesh.client.retry({ kind: 'transcribe' }, { dry_run: true })).toEqual({
      retried: [],
      dry_run: true,
    })
    expect(await mesh.client.retry(there, { dry_run: true })).toEqual({
      retried: [there],
      dry_run: true,
    })
    expect((await mesh.client.get(here)).status).toBe('failed')
    await mesh.test.db.pool.query(
      `update earshot.jobs set finished_at = now() - interval '2 minutes' where id = $1`,
      [there],
    )
    expect(await mesh.client.retry({ status: ['failed'], older_s: 60 })).toEqual({
      retried: [there],
    })
    expect(await mesh.client.cancel({ kind: 'speak' }, { dry_run: true })).toEqual({
      cancelled: [there, open],
      dry_run: true,
    })
    expect(await mesh.client.cancel({ status: ['pending'] })).toEqual({ cancelled: [there, open] })
  })

  test('parents and children that are tried again together run in their order; a child alone no longer waits for the parent that failed', async () => {
    const parent = await speak({ priority: 100 })
    const [child, lone] = [await speak({ after: [parent] }), await speak({ after: [parent] })]
    const box = await joinNode(mesh.test.db, 'box')
    await box.finish(await box.take(), BROKE)
    expect(await mesh.client.get(child)).toMatchObject({
      status: 'failed',
      error: { code: 'EARSHOT_PARENT_FAILED' },
    })
    expect(await mesh.client.retry([lone])).toEqual({ retried: [lone] })
    expect((await mesh.client.get(lone)).status).toBe('pending')
    expect(await mesh.client.retry([parent, child])).toEqual({ retried: [parent, child] })
    expect([(await mesh.client.get(parent)).status, (await mesh.client.get(child)).status]).toEqual(
      ['pending', 'blocked'],
    )
    await box.finish(await box.take(), BROKE)
    expect((await mesh.client.get(child)).status).toBe('failed')
  })
})
