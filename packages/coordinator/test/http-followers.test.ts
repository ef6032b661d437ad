import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Log, silentLog } from '@earshot/shared/log'
import { databases } from '../../../test/helpers/database.ts'
import { type Mesh, startMesh } from './mesh.ts'

const FOLLOWERS = 1000
const ROUNDS = 20
/**
 * Not one each, for a whole round of them; the more the slower the machine: the reader looks once a
 * second, and "now" is good for 25 ms.
 */
const FEW = FOLLOWERS
const STUCK_MS = 300

type Follower = {
  request: ClientRequest
  response: IncomingMessage
  last: () => string
  seen: number[]
}

/**
 * Follows the events over a connection of its own, noting numbers and the last id, as a program
 * that resumes does.
 */
async function follow(url: string, since?: string): Promise<Follower> {
  const asked = request(`${url}/v1/events`, {
    agent: false,
    headers: since === undefined ? {} : { 'last-event-id': since },
  })
  asked.on('error', () => {}) // cut off
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  let id = String(response.headers['earshot-position'])
  let rest = ''
  const seen: number[] = []
  response
    .setEncoding('utf8')
    .on('error', () => {})
    .on('data', (piece: string) => {
      const frames = (rest + piece).split('\n\n')
      rest = frames.pop()!
      for (const frame of frames) {
        id = /^id: (.+)$/m.exec(frame)?.[1] ?? id
        const n = /"n":(\d+)/.exec(frame)?.[1]
        if (n !== undefined) seen.push(Number(n))
      }
    })
  return { request: asked, response, seen, last: () => id }
}

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => from + at)

describe.each(databases)('followers of the events on %s', (kind) => {
  let mesh: Mesh
  let queries = 0
  let cuts = 0
  beforeAll(async () => {
    const log = {
      ...silentLog(),
      warn: (line: unknown) => (String(line).includes('cut off') ? (cuts += 1) : 0),
    } as unknown as Log
    mesh = await startMesh(kind, { limits: { stuckMs: STUCK_MS }, log })
    mesh.test.db.pool.on('acquire', () => (queries += 1))
  })
  afterAll(() => mesh[Symbol.asyncDispose]())
  const write = async (from: number, to: number, filling = 0) => {
    await mesh.test.db.pool.query(
      `insert into earshot.events (type, data) select 'test.many', jsonb_build_object('n', n, 'filling', repeat('x', $3)) from generate_series($1::int, $2::int) n`,
      [from, to, filling],
    )
    mesh.http.changed()
  }
  const all = (followers: Follower[], wanted: number[]) =>
    expect
      .poll(() => followers.every(({ seen }) => seen.length >= wanted.length), { timeout: 60_000 })
      .toBe(true)
      .then(() =>
        expect(followers.filter(({ seen }) => String(seen) !== String(wanted))).toEqual([]),
      )

  test('a thousand of them cost the database no query each: neither to begin, nor to be told, nor to resume', async () => {
    const before = queries
    const followers = await Promise.all(Array.from({ length: FOLLOWERS }, () => follow(mesh.url)))
    const told = queries
    expect(told - before).toBeLessThan(FEW)
    for (let round = 0; round < ROUNDS; round++) await write(round * 5 + 1, round * 5 + 5)
    await all(followers, numbers(1, ROUNDS * 5))
    const resumed = queries
    expect(resumed - told).toBeLessThan(FEW)
    // One stays; the others are cut off, miss something, and come back all at once.
    const [stays, ...others] = followers
    for (const one of others) one.request.destroy()
    await write(ROUNDS * 5 + 1, ROUNDS * 5 + 50)
    await all([stays!], numbers(1, ROUNDS * 5 + 50))
    const back = await Promise.all(others.map((one) => follow(mesh.url, one.last())))
    await all(back, numbers(ROUNDS * 5 + 1, ROUNDS * 5 + 50))
    expect(queries - resumed).toBeLessThan(FEW)
    for (const one of [stays!, ...back]) one.request.destroy()
  })

  test('one that takes nothing is dropped and not written to without end; it resumes after the last event that it has', async () => {
    const slow = await follow(mesh.url)
    slow.response.pause()
    // More than all buffers between here and there hold.
    let count = 0
    for (; cuts === 0; count += 500) await write(count + 1, count + 500, 2000)
    slow.response.resume()
    await once(slow.request, 'close')
    expect(slow.seen.length).toBeLessThan(count)
    const seen = [...slow.seen]
    for (let last = slow.last(); seen.length < count;) {
      // On a slow machine this one may be cut off too; it gets on all the same.
      const again = await follow(mesh.url, last)
      await expect
        .poll(() => again.seen.at(-1) === count || again.response.closed, { timeout: 60_000 })
        .toBe(true)
      again.request.destroy()
      seen.push(...again.seen)
      last = again.last()
    }
    expect(seen).toEqual(numbers(1, count))
  })
})
