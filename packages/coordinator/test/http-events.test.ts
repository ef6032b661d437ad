import type { Database } from '@earshot/db/database'
import fc from 'fast-check'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { createEventStream } from '../src/events/event-stream.ts'
import { silentLog } from '@earshot/shared/log'
import type { StoredEvent } from '../src/queries/events.ts'
import { type Mesh, startMesh } from './mesh.ts'

/** Reads server-sent events as any program would: text, frame by frame. */
async function* frames(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const response = await fetch(url, { headers, signal })
  expect(response.status).toBe(200)
  let rest = ''
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + piece).split('\n\n')
    rest = parts.pop() ?? ''
    yield* parts
  }
}

const idOf = (frame: string): string | undefined => /^id: (.+)$/m.exec(frame)?.[1]
const dataOf = (frame: string): { type: string; data: { n: number } } | undefined => {
  const data = /^data: (.+)$/m.exec(frame)?.[1]
  return data === undefined
    ? undefined
    : (JSON.parse(data) as { type: string; data: { n: number } })
}
const insert =
  "insert into earshot.events (type, data) values ($1, jsonb_build_object('n', $2::int))"

describe.each(databases)('events over HTTP (%s)', (kind) => {
  let mesh: Mesh
  let db: Database
  beforeAll(async () => {
    mesh = await startMesh(kind)
    db = mesh.test.db
  })
  afterAll(() => mesh[Symbol.asyncDispose]())

  test('a stream starts now, says where that is, and takes up after the last event seen', async () => {
    await db.pool.query(insert, ['test.before', 0])
    const first = new AbortController()
    const seen: string[] = []
    for await (const frame of frames(`${mesh.url}/v1/events`, {}, first.signal)) {
      seen.push(frame)
      if (seen.length === 1) {
        await db.pool.query(insert, ['test.one', 1])
        mesh.http.changed()
      } else break
    }
    first.abort()
    expect(seen[0]).toMatch(/^retry: 1000\nid: \d+-0$/)
    expect(seen[1]).toMatch(
      /^id: \d+-\d+\nevent: test\.one\ndata: \{"id":"\d+-\d+","type":"test\.one"/,
    )

    await db.pool.query(insert, ['test.two', 2])
    const later = new AbortController()
    for await (const frame of frames(
      `${mesh.url}/v1/events`,
      { 'last-event-id': idOf(seen[1]!)! },
      later.signal,
    )) {
      const event = dataOf(frame)
      if (event === undefined) continue
      expect(event.type).toBe('test.two')
      break
    }
    later.abort()
  })

  test('since=0 gives everything kept, and types only those asked for', async () => {
    await db.pool.query(insert, ['test.wanted', 7])
    const stop = new AbortController()
    const types: string[] = []
    for await (const frame of frames(
      `${mesh.url}/v1/events?since=0&types=test.before,test.wanted`,
      {},
      stop.signal,
    )) {
      const event = dataOf(frame)
      if (event !== undefined) types.push(event.type)
      if (types.length === 2) break
    }
    stop.abort()
    expect(types).toEqual(['test.before', 'test.wanted'])
  })

  test('an event that nobody announced arrives all the same', async () => {
    const stop = new AbortController()
    for await (const frame of frames(`${mesh.url}/v1/events?types=test.quiet`, {}, stop.signal)) {
      if (dataOf(frame) !== undefined) break
      await db.pool.query(insert, ['test.quiet', 1])
    }
    stop.abort()
  })

  test('progress comes to who asks for it, without an id', async () => {
    const stop = new AbortController()
    const job = await mesh.client.enqueue('speak', { text: 'x' })
    await db.pool.query(
      `with n as (select earshot.register_node('p', 'p', null, 0, '0', 1, '{tts}', '{}', '{}', '{"tts":1}') as incarnation)
       update earshot.jobs j set status = 'running', assigned_node = 'p', incarnation = n.incarnation, fence = 1 from n where j.id = $1`,
      [job.id],
    )
    const { incarnation } = await mesh.client.node('p')
    for await (const frame of frames(`${mesh.url}/v1/events?progress=1`, {}, stop.signal)) {
      if (frame.includes('job.progress')) {
        expect(frame).toBe(
          `event: job.progress\ndata: {"type":"job.progress","job_id":${job.id},"progress":0.5}`,
        )
        break
      }
      if (frame.startsWith('retry')) {
        const body = JSON.stringify({
          node: 'p',
          incarnation,
          jobs: [{ id: job.id, fraction: 0.5 }],
        })
        await fetch(`${mesh.url}/v1/progress`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        })
      }
    }
    stop.abort()
  })

  test('a follower that reads nothing costs one page, misses nothing and holds up nobody', async () => {
    const events = createEventStream(db, silentLog())
    // A stream that starts now may still bring what was committed just before, while any
    // transaction of the server is older.
    const numbers = (page: readonly StoredEvent[]) =>
      page
        .map((event) => dataOf(event.frame)!)
        .filter(({ type }) => type === 'test.many')
        .map(({ data }) => data.n)
    const stop = new AbortController()
    const from = await events.start()
    const idle = events.follow(from, stop.signal)
    await db.pool.query(
      "insert into earshot.events (type, data) select 'test.many', jsonb_build_object('n', n) from generate_series(1, 5000) n",
    )
    events.changed()
    const first = (await idle.next()).value
    const eager: number[] = []
    for await (const page of events.follow(from, stop.signal)) {
      eager.push(...numbers(page))
      if (eager.length >= 5000) break
    }
    const late = numbers(first as readonly StoredEvent[])
    for await (const page of idle) {
      expect(page.length).toBeLessThanOrEqual(1000)
      late.push(...numbers(page))
      if (late.length >= 5000) break
    }
    const all = Array.from({ length: 5000 }, (_, at) => at + 1)
    expect(eager).toEqual(all)
    expect(late).toEqual(all)
    stop.abort()
    events.stop()
  })
})

type Transaction = { ms: number; events: number; rollback: boolean; wake: boolean }

describe.runIf(databases.includes('postgres'))('events of transactions that overlap', () => {
  const transaction = fc.record({
    ms: fc.nat(25),
    events: fc.integer({ min: 1, max: 4 }),
    rollback: fc.boolean(),
    wake: fc.boolean(),
  })
  const writers = fc.array(fc.array(transaction, { maxLength: 12 }), { minLength: 2, maxLength: 5 })
  /** After how many events the reader cuts its connection, again and again. */
  const cuts = fc.array(fc.nat(10), { maxLength: 8 })

  async function write(mesh: Mesh, transactions: Transaction[]): Promise<void> {
    for (const { ms, events, rollback, wake } of transactions) {
      const work = mesh.test.db.transaction(async (client) => {
        for (let n = 0; n < events; n++) {
          await client.query(insert, ['test.random', n])
          await sleep(ms / events)
        }
        if (rollback) throw new Error('rolled back on purpose')
      })
      await work.catch((error: Error) => expect(error.message).toBe('rolled back on purpose'))
      if (wake) mesh.http.changed()
    }
  }

  async function readUntilEnd(mesh: Mesh, from: string, cutAfter: number[]): Promise<string[]> {
    const seen: string[] = []
    for (const [at, cut] of [...cutAfter, Infinity].entries()) {
      const stop = new AbortController()
      const start = seen.length
      // Every other time the id comes in the address, as it does from a page that was loaded again.
      const position = seen.at(-1) ?? from
      const [query, headers] =
        at % 2 === 0 ? ['', { 'last-event-id': position }] : [`&since=${position}`, {}]
      try {
        for await (const frame of frames(
          `${mesh.url}/v1/events?types=test.random,test.end${query}`,
          headers,
          stop.signal,
        )) {
          if (!frame.includes('data:')) continue
          if (frame.includes('test.end')) return seen
          seen.push(idOf(frame)!)
          if (seen.length - start > cut) break
        }
      } finally {
        stop.abort()
      }
    }
    return seen
  }

  test('each committed event is seen once and in order, whatever the transactions and cuts', async () => {
    await using mesh = await startMesh('postgres')
    const { pool } = mesh.test.db
    let total = 0
    await fc.assert(
      fc.asyncProperty(writers, cuts, async (plan, cutAfter) => {
        const {
          rows: [start],
        } = await pool.query<{ xid: string }>(
          'select pg_snapshot_xmin(pg_current_snapshot())::text as xid',
        )
        const reading = readUntilEnd(mesh, `${start!.xid}-0`, cutAfter)
        await Promise.all(plan.map((transactions) => write(mesh, transactions)))
        await pool.query(insert, ['test.end', 0])
        const { rows } = await pool.query<{ id: string }>(
          `select e.xid::text || '-' || e.id as id from earshot.events e where e.type = 'test.random' and e.xid >= $1::xid8 order by e.xid, e.id`,
          [start!.xid],
        )
        expect(await reading).toEqual(rows.map(({ id }) => id))
        total += rows.length
      }),
      { numRuns: 20, endOnFailure: true },
    )
    expect(total).toBeGreaterThan(50)
  })
})
