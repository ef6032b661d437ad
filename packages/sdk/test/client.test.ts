import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { type Mesh, startMesh } from '../../coordinator/test/mesh.ts'
import { joinNode } from '../../coordinator/test/node-by-hand.ts'
import { createClient, EarshotError, type JobView } from '../src/index.ts'

/** Something else than a mesh that answers HTTP. */
async function serve(listener: RequestListener): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

describe('what goes wrong', () => {
  test('nobody at the address: the error names it and says what to do', async () => {
    const port = await (async () => {
      await using gone = await serve(() => {})
      return new URL(gone.url).port
    })()
    const client = createClient({ url: `http://127.0.0.1:${port}/` })
    const error = await client.jobs().catch((thrown: unknown) => thrown as EarshotError)
    expect(error).toBeInstanceOf(EarshotError)
    expect(error).toMatchObject({
      code: 'EARSHOT_UNREACHABLE',
      message: `No Earshot mesh answers at http://127.0.0.1:${port} (ECONNREFUSED).`,
    })
    expect((error as EarshotError).hint).toContain('npm start')
    await expect(client.events().next()).rejects.toMatchObject({ code: 'EARSHOT_UNREACHABLE' })
  })

  test.each([
    ['a page', '<h1>404</h1>'],
    ['other JSON', '{"error":"nope"}'],
  ])('another program at the address is not taken for a mesh: %s', async (_, body) => {
    await using other = await serve((_request, response) => response.writeHead(404).end(body))
    await expect(createClient({ url: other.url }).get(1)).rejects.toMatchObject({
      code: 'EARSHOT_UNREACHABLE',
      message: expect.stringContaining('not Earshot'),
    })
  })

  test('a code of a newer mesh is kept as a sentence', async () => {
    await using newer = await serve((_request, response) =>
      response
        .writeHead(418)
        .end('{"error":{"code":"EARSHOT_TEAPOT","message":"Short and stout."}}'),
    )
    await expect(createClient({ url: newer.url }).nodes()).rejects.toMatchObject({
      code: 'EARSHOT_INTERNAL',
      message: 'Short and stout.',
    })
  })

  test("the caller's abort passes unchanged", async () => {
    await using silent = await serve(() => {})
    await expect(
      createClient({ url: silent.url }).jobs({ signal: AbortSignal.abort(new Error('mine')) }),
    ).rejects.toThrow('mine')
  })
})

test('payload and result are typed by the kind', () => {
  const client = createClient()
  expectTypeOf(client.enqueue<'speak'>)
    .parameter(1)
    .toHaveProperty('text')
  const speech = async () => client.wait(await client.enqueue('speak', { text: 'x' }))
  expectTypeOf(speech).returns.resolves.toEqualTypeOf<JobView<'speak'>>()
  expectTypeOf<JobView<'speak'>['result']>().toEqualTypeOf<{
    artifact_id: number
    duration_s: number
    engine: string
    model?: string | undefined
    mime?: string | undefined
  } | null>()
  // @ts-expect-error a payload of another kind
  void (() => client.enqueue('speak', { media: 'x' }))
})

describe.each(databases)('waiting (%s)', (kind) => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await startMesh(kind)
  })
  afterAll(() => mesh[Symbol.asyncDispose]())

  const failure = {
    error: { code: 'EARSHOT_ENGINE_FAILED', message: 'No voice.', verdict: 'final' },
  } as const

  test('for an unknown job is refused', async () => {
    await expect(mesh.client.wait(987_654)).rejects.toMatchObject({ code: 'EARSHOT_NOT_FOUND' })
  })

  test('ends with its time or its signal; the job goes on', async () => {
    const { id } = await mesh.client.enqueue('speak', { text: 'x' })
    await expect(mesh.client.wait(id, { timeout_s: 0.05 })).rejects.toMatchObject({
      code: 'EARSHOT_DEADLINE',
      message: expect.stringContaining('0.05 s'),
    })
    await expect(
      mesh.client.wait(id, { signal: AbortSignal.abort(new Error('mine')) }),
    ).rejects.toThrow('mine')
    const stop = new AbortController()
    const waiting = mesh.client.wait(id, { signal: stop.signal })
    stop.abort(new Error('later'))
    await expect(waiting).rejects.toThrow('later')
    expect((await mesh.client.get(id)).status).toBe('pending')
    await mesh.client.cancel(id)
  })

  test('for a job that has ended answers at once; for many at once each gets its own', async () => {
    const made = await mesh.client.enqueueMany(
      Array.from({ length: 300 }, (_, n) => ({ kind: 'speak', payload: { text: `${n}` } })),
    )
    await mesh.client.cancel(made[0]!.id)
    expect((await mesh.client.wait(made[0]!.id)).status).toBe('cancelled')
    const waiting = Promise.all(made.map((job) => mesh.client.wait(job)))
    await mesh.client.cancel(made.map(({ id }) => id))
    mesh.http.changed()
    expect((await waiting).map(({ id, status, payload }) => [id, status, payload])).toEqual(
      made.map(({ id }, n) => [id, 'cancelled', { text: `${n}` }]),
    )
  })

  test('hears progress and the end', async () => {
    const job = await mesh.client.enqueue('speak', { text: 'x' }, { priority: 900 })
    const node = await joinNode(mesh.test.db)
    const taken = await node.take()
    const halfway = Promise.withResolvers<number>()
    const waiting = mesh.client.wait(job, { onProgress: halfway.resolve })
    const report = setInterval(
      () =>
        void fetch(`${mesh.url}/v1/progress`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            node: node.id,
            incarnation: node.incarnation,
            jobs: [{ id: job.id, fraction: 0.5 }],
          }),
        }),
      20,
    )
    expect(await halfway.promise).toBe(0.5)
    clearInterval(report)
    await node.finish(taken, failure)
    mesh.http.changed()
    expect(await waiting).toMatchObject({
      id: job.id,
      kind: 'speak',
      status: 'failed',
      error: { message: 'No voice.' },
    })
  })

  test('does not hang when every event is missed', async () => {
    const deaf = createClient({
      url: mesh.url,
      fetch: (url, init) =>
        url.includes('/v1/events')
          ? new Promise<Response>((_, reject) => init.signal!.addEventListener('abort', reject))
          : fetch(url, init),
    })
    const { id } = await deaf.enqueue('speak', { text: 'x' })
    const waiting = deaf.wait(id)
    await mesh.client.cancel(id)
    expect((await waiting).status).toBe('cancelled')
  })
})

describe.each(databases)('across a restart of the mesh (%s)', (kind) => {
  test('waiting goes on, and events are neither skipped nor doubled', async () => {
    const first = await startMesh(kind)
    const { test: own, port } = first
    const insert = (n: number) =>
      own.db.pool.query(
        "insert into earshot.events (type, data) values ('test.n', jsonb_build_object('n', $1::int))",
        [n],
      )
    const job = await first.client.enqueue('speak', { text: 'x' })
    const waiting = first.client.wait(job)
    const events = first.client.events({ types: ['test.n'] })
    const seen: unknown[] = []
    const reading = (async () => {
      for await (const event of events) {
        seen.push(event.data.n)
        if (event.data.n === 40) break
      }
    })()
    // Before the stream is open, nothing is promised: so the count begins with the first that is
    // seen.
    while (seen.length === 0) {
      await insert(1)
      await sleep(20)
    }
    let mesh: Mesh = first
    try {
      for (let n = 2; n <= 10; n++) await insert(n)
      await first.http.stop()
      for (let n = 11; n <= 20; n++) await insert(n)
      await first.client.health().then(
        () => expect.unreachable(),
        (error: unknown) => expect(error).toMatchObject({ code: 'EARSHOT_UNREACHABLE' }),
      )
      mesh = await startMesh(kind, { test: own, settings: { port } })
      for (let n = 21; n <= 40; n++) await insert(n)
      await mesh.client.cancel(job.id)
      mesh.http.changed()
      await reading
      expect((await waiting).status).toBe('cancelled')
      expect(seen.filter((n) => n !== 1)).toEqual(Array.from({ length: 39 }, (_, at) => at + 2))
    } finally {
      await mesh.http.stop()
      await own[Symbol.asyncDispose]()
    }
  })
})
