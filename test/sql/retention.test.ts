import { createClient } from '@earshot/sdk'
import { submitJobs } from '@earshot/db/functions/jobs'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { setNodeDrain, deregisterNode } from '@earshot/db/functions/nodes'
import {
  archiveJobs,
  forgetNodes,
  renumberEvents,
  pruneArchive,
  pruneEvents,
  setRetention,
} from '@earshot/db/functions/retention'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startMesh, type Mesh } from '../../packages/coordinator/test/mesh.ts'
import { databases } from '../helpers/database.ts'
import { eventTypes, join } from './fixture.ts'

describe.each(databases)('how long things are kept, on %s', (kind) => {
  let mesh: Mesh
  let term: string
  const db = () => mesh.test.db
  const rows = async <Row>(text: string, values: unknown[] = []) =>
    (await db().pool.query(text, values)).rows as Row[]
  beforeAll(async () => {
    mesh = await startMesh(kind)
    await db().pool.query(`update earshot.settings set leadership = '10 minutes'`)
    term = (await acquireLeadership(db().pool, 'keeper', true))!
  })
  afterAll(() => mesh[Symbol.asyncDispose]())

  /** The refusal or the first event of a stream that takes up after `since`. */
  async function resume(since: string): Promise<unknown> {
    // Streams that begin within 25 ms of each other share what was known of the database, what was
    // deleted from it too.
    await sleep(50)
    const signal = AbortSignal.timeout(20_000)
    for await (const event of createClient({ url: mesh.url }).events({ since, signal }))
      return event.type
    return undefined
  }

  test('only the leader sets it, and only what its settings give', async () => {
    await setRetention(db().pool, '0', { completed: 1 })
    await setRetention(db().pool, term, { failed: 3600, nodes: 86_400 * 2 })
    expect(
      await rows(
        `select keep_completed::text, keep_failed::text, keep_events::text, extract(epoch from keep_nodes)::int as nodes from earshot.settings`,
      ),
    ).toEqual([
      { keep_completed: '7 days', keep_failed: '01:00:00', keep_events: '90 days', nodes: 172_800 },
    ])
  })

  test('old events about no job go, and whoever resumes before them is told', async () => {
    const [, second] = await rows<{
      at: string
    }>(`with e as (insert into earshot.events (type, at) select 'document.ready', now() - n * interval '40 days' from generate_series(3, 1, -1) n
      returning xid, id) select xid || '-' || id as at from e order by id`)
    expect(await pruneEvents(db().pool, '0')).toBe(0)
    expect(await pruneEvents(db().pool, term)).toBe(1)
    await rows(`insert into earshot.events (type) values ('document.failed')`)
    expect(await resume(second!.at)).toBe('document.ready')
    expect(await resume('0')).toBe('document.ready')
    await setRetention(db().pool, term, { events: 0 })
    expect(await pruneEvents(db().pool, term)).toBe(3)
    await expect(resume(second!.at)).rejects.toMatchObject({
      code: 'EARSHOT_EVENTS_PRUNED',
      field: 'last-event-id',
    })
  })

  test('a node that never came back is forgotten, but not one that is held back or holds something', async () => {
    const incarnation = await join(db(), 'gone')
    await join(db(), 'held')
    await join(db(), 'busy')
    await setNodeDrain(db().pool, 'held')
    await deregisterNode(db().pool, 'gone', incarnation)
    await rows(`update earshot.nodes set status = 'offline'`)
    expect(await forgetNodes(db().pool, term)).toEqual([])
    await rows(`update earshot.node_leases set last_seen = now() - interval '3 days'`)
    const [job] = await submitJobs(db().pool, [{ kind: 'speak', payload: { text: 'x' } }])
    await rows(
      `update earshot.jobs set status = 'assigned', assigned_node = 'busy', incarnation = 1, fence = 1 where id = $1`,
      [job!.id],
    )
    expect(await forgetNodes(db().pool, '0')).toEqual([])
    expect(await forgetNodes(db().pool, term)).toEqual(['gone'])
    expect(await rows(`select node from earshot.events where type = 'node.forgotten'`)).toEqual([
      { node: 'gone' },
    ])
    await rows('delete from earshot.jobs')
  })

  test('an archived job still answers to its idempotency key, until it is deleted with its history', async () => {
    const speak = { kind: 'speak', payload: { text: 'once' }, idempotency_key: 'bell' }
    const [first] = await submitJobs(db().pool, [speak])
    await mesh.client.cancel(first!.id)
    await rows(`update earshot.jobs set finished_at = now() - interval '8 days'`)
    expect(await archiveJobs(db().pool, term)).toBe(1)
    const again = await submitJobs(db().pool, [
      { ...speak, idempotency_key: 'other' },
      speak,
      speak,
    ])
    expect(again.map(({ duplicate }) => duplicate)).toEqual([false, true, true])
    expect(again.slice(1).map(({ id }) => id)).toEqual([first!.id, first!.id])
    expect(await eventTypes(db(), first!.id)).toEqual(['job.queued', 'job.cancelled'])

    await setRetention(db().pool, term, { archived: 0 })
    const [last] = await rows<{ at: string }>(
      `select xid || '-' || (id - 1) as at from earshot.events where job_id = $1 order by id desc limit 1`,
      [first!.id],
    )
    expect(await pruneArchive(db().pool, '0')).toBe(0)
    expect(await pruneArchive(db().pool, term)).toBe(1)
    expect(await eventTypes(db(), first!.id)).toEqual([])
    await expect(resume(last!.at)).rejects.toMatchObject({ code: 'EARSHOT_EVENTS_PRUNED' })
    const [fresh] = await submitJobs(db().pool, [speak])
    expect(fresh).toMatchObject({ duplicate: false })
    expect(fresh!.id).toBeGreaterThan(first!.id)
  })

  test('events that a restore brought from another cluster are read, in their order, before those written since', async () => {
    await rows('delete from earshot.events')
    await rows(
      `insert into earshot.events (type, xid) select 'document.ready', xid::text::xid8 from (values (900000000), (5), (900000100)) r (xid)`,
    )
    await rows(`insert into earshot.events (type) values ('document.failed')`)
    const readable = () =>
      rows<{ type: string }>(
        `select type, id from earshot.events where xid < pg_snapshot_xmin(pg_current_snapshot()) order by earshot.events.xid, id`,
      )
    expect(await readable()).toHaveLength(2)
    expect(await renumberEvents(db().pool, '0', null)).toBeNull()
    expect(await readable()).toHaveLength(2)
    let upto = await renumberEvents(db().pool, term, null)
    while (upto !== null) upto = await renumberEvents(db().pool, term, upto)
    const all = await readable()
    expect(all.map(({ type }) => type)).toEqual([
      'document.ready',
      'document.ready',
      'document.ready',
      'document.failed',
    ])
    expect(await resume('0')).toBe('document.ready')
  })
})
