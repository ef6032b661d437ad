import { PROTOCOL } from '@earshot/contract'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { type Mesh, startMesh } from './mesh.ts'
import { joinNode } from './node-by-hand.ts'

describe.each(databases)('jobs over HTTP (%s)', (kind) => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await startMesh(kind)
  })
  afterAll(() => mesh[Symbol.asyncDispose]())

  const speak = (text: string) => ({ kind: 'speak' as const, payload: { text } })

  test('one wrong job of many leaves none behind', async () => {
    const before = await mesh.client.jobs()
    await expect(mesh.client.enqueueMany([speak('good'), speak(' ')])).rejects.toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      field: 'jobs[1].payload.text',
    })
    expect(await mesh.client.jobs()).toEqual(before)
  })

  test('a job is shown as it was asked for, with its history', async () => {
    const { id } = await mesh.client.enqueue(
      'speak',
      { text: 'Hello' },
      {
        requires: { gpu: 'nvidia' },
        priority: 7,
        max_tries: 2,
        run_at: '2040-05-06T07:08:09+02:00',
      },
    )
    const job = await mesh.client.get(id)
    expect(job).toMatchObject({
      id,
      kind: 'speak',
      role: 'tts',
      requires: { gpu: 'nvidia' },
      status: 'pending',
      assigned_node: null,
      attempt: 0,
      tries: 0,
      max_tries: 2,
      priority: 7,
      payload: { text: 'Hello' },
      result: null,
      error: null,
      progress: null,
      run_at: '2040-05-06T05:08:09.000Z',
      deadline: null,
      finished_at: null,
    })
    expect(job.history).toMatchObject([{ type: 'job.queued', job_id: id, data: { kind: 'speak' } }])
    expect(job.history?.[0]?.id).toMatch(/^\d+-\d+$/)
  })

  test('a thousand jobs answer with a thousand ids in order; a known key answers with its job', async () => {
    const jobs = Array.from({ length: 1_000 }, (_, at) => ({
      ...speak(`line ${at}`),
      idempotency_key: `line-${at}`,
    }))
    const first = await mesh.client.enqueueMany(jobs)
    expect(first.map(({ duplicate }) => duplicate)).not.toContain(true)
    expect((await mesh.client.get(first[617]!)).payload).toEqual({ text: 'line 617' })
    const again = await mesh.client.enqueueMany(jobs.slice(3, 5))
    expect(again).toEqual(first.slice(3, 5).map((job) => ({ ...job, duplicate: true })))
  })

  test('lists carry titles, and payloads only when they are asked for', async () => {
    const kind = 'speak'
    const { id } = await mesh.client.enqueue(kind, { text: 'long '.repeat(3_000) })
    const [listed] = await mesh.client.jobs({ ids: [id] })
    expect(listed).toMatchObject({ id, kind, title: null })
    expect(listed).not.toHaveProperty('payload')
    const [whole] = await mesh.client.jobs({ ids: [id], payload: true })
    expect(whole!.payload).toEqual((await mesh.client.get(id)).payload)
  })

  test('lists go newest first, in pages without overlap, by status, kind and ids', async () => {
    const made = await mesh.client.enqueueMany([speak('a'), speak('b'), speak('c')])
    const ids = made.map(({ id }) => id).reverse()
    const page = await mesh.client.jobs({ limit: 2 })
    const next = await mesh.client.jobs({ limit: 1, before: page[1]!.id })
    expect([...page, ...next].map(({ id }) => id)).toEqual(ids)
    expect(await mesh.client.jobs({ status: ['running', 'failed'] })).toEqual([])
    expect(await mesh.client.jobs({ kind: 'transcribe' })).toEqual([])
    expect((await mesh.client.jobs({ ids: [ids[0]!, ids[2]!] })).map(({ id }) => id)).toEqual([
      ids[0],
      ids[2],
    ])
  })

  test('only open jobs are cancelled, and the answer says which', async () => {
    const made = await mesh.client.enqueueMany([speak('a'), speak('b')])
    const [a, b] = made.map(({ id }) => id) as [number, number]
    expect(await mesh.client.cancel(a)).toEqual({ cancelled: [a] })
    expect(await mesh.client.cancel(a)).toEqual({ cancelled: [] })
    expect(await mesh.client.cancel([a, b, 999_999])).toEqual({ cancelled: [b] })
    expect(await mesh.client.get(a)).toMatchObject({
      status: 'cancelled',
      error: { code: 'EARSHOT_CANCELLED' },
    })
  })

  test('progress is shown of who holds the job, and of no one else', async () => {
    const { id } = await mesh.client.enqueue('speak', { text: 'going' }, { priority: 1_000 })
    const node = await joinNode(mesh.test.db, 'runner')
    const job = await node.take()
    expect(job.id).toBe(id)
    const report = async (incarnation: number, fraction: number): Promise<unknown> =>
      (
        await fetch(`${mesh.url}/v1/progress`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ node: 'runner', incarnation, jobs: [{ id, fraction }] }),
        })
      ).json()
    expect(await report(node.incarnation + 1, 0.9)).toEqual({ heard: 0 })
    expect((await mesh.client.get(id)).progress).toBe(null)
    expect(await report(node.incarnation, 0.25)).toEqual({ heard: 1 })
    expect(await mesh.client.get(id)).toMatchObject({
      status: 'assigned',
      assigned_node: 'runner',
      progress: 0.25,
    })
    expect(await mesh.client.nodes()).toMatchObject([
      {
        id: 'runner',
        status: 'online',
        slots: { stt_batch: 1, tts: 1, rag_engine: 1 },
        open_jobs: 1,
        tags: { platform: 'linux' },
      },
    ])
    expect(await mesh.client.node('runner')).toMatchObject({ incarnation: node.incarnation })

    await node.finish(job, {
      error: { code: 'EARSHOT_ENGINE_FAILED', message: 'The voice broke.', verdict: 'final' },
    })
    const failed = await mesh.client.get(id)
    expect(failed).toMatchObject({
      status: 'failed',
      progress: null,
      error: { code: 'EARSHOT_ENGINE_FAILED', message: 'The voice broke.' },
    })
    expect(failed.history?.map(({ type }) => type)).toEqual(['job.queued', 'job.failed'])
  })

  test('the health says which database, and counts the nodes', async () => {
    expect(await mesh.client.health()).toEqual({
      status: 'ok',
      version: '0.0.0-test',
      protocol: PROTOCOL,
      database: kind,
      url: mesh.url,
      nodes: { online: 1, degraded: 0, offline: 0 },
    })
  })
})
