import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { touchCoordinator } from '@earshot/db/functions/leadership'
import type { Assignment } from '@earshot/db/functions/jobs'
import { silentLog } from '@earshot/shared/log'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/helpers/database.ts'
import { createStreams } from '../src/stream.ts'

type Heard = { request: IncomingMessage; lines: string[]; ended: boolean; over: Promise<void> }
let held: TestDatabase
let requests: Heard[]
let lineCame: PromiseWithResolvers<void>
let arrived: PromiseWithResolvers<Heard>
let answer: (response: ServerResponse) => void
const server = createServer((request, response) => {
  const over = Promise.withResolvers<void>()
  const heard: Heard = { request, lines: [], ended: false, over: over.promise }
  requests.push(heard)
  let text = ''
  request.setEncoding('utf8').on('data', (part: string) => {
    text += part
    heard.lines = text.split('\n').slice(0, -1)
    lineCame.resolve()
  })
  request
    .on('end', () => {
      heard.ended = true
      response.end()
    })
    .on('error', () => {})
    .on('close', () => over.resolve())
  answer(response)
  arrived.resolve(heard)
})
let url: string

beforeAll(async () => {
  held = await testDatabase('embedded')
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await touchCoordinator(held.db.pool, { id: 'desk', url, version: '1', protocol: 1 })
  // What stands there may be anything: it keeps no one from being heard.
  await touchCoordinator(held.db.pool, { id: 'odd', url: 'nonsense', version: '1', protocol: 1 })
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await held[Symbol.asyncDispose]()
})
beforeEach(() => {
  requests = []
  arrived = Promise.withResolvers()
  lineCame = Promise.withResolvers()
  answer = () => {}
})

const open = (payload: object = { reply_to: url }) =>
  createStreams({
    db: held.db,
    key: 'a-key',
    node: { id: 'attic', incarnation: 4 },
    log: silentLog(),
  }).open({ id: 7, attempt: 3, fence: '-77', payload } as unknown as Assignment)
const parsed = (heard: Heard) => heard.lines.map((line) => JSON.parse(line) as unknown)

test('what nobody asked to hear goes nowhere, and so does what is asked for by a stranger: the mesh key would go along', async () => {
  const other = createServer(() => {
    throw new Error('a stranger was spoken to')
  }).listen(0, '127.0.0.1')
  await once(other, 'listening')
  const gone = `http://localhost:${(other.address() as AddressInfo).port}`
  await touchCoordinator(held.db.pool, { id: 'gone', url: gone, version: '1', protocol: 1 })
  await held.db.pool.query(
    `update earshot.coordinators set last_seen = last_seen - interval '1 hour' where id = 'gone'`,
  )
  for (const payload of [
    { reply_to: gone },
    {},
    { reply_to: 7 },
    { reply_to: 'nonsense' },
    { reply_to: `http://127.0.0.1:${(other.address() as AddressInfo).port}` },
  ]) {
    const stream = open(payload)
    stream.emit({ content: 'x' })
    await stream.end({ output: {} })
  }
  expect(requests).toEqual([])
  other.close()
})

test('pieces arrive while it is made, in order, and the last line says that it is whole', async () => {
  const stream = open()
  stream.emit({ content: 'Hel' })
  stream.emit({ content: 'lo\n' })
  const heard = await arrived.promise
  await lineCame.promise
  expect(heard.ended).toBe(false)
  await stream.end({ output: { content: 'Hello\n' } })
  expect(heard.ended).toBe(true)
  expect(parsed(heard)).toEqual([
    { content: 'Hel' },
    { content: 'lo\n' },
    { done: true, output: { content: 'Hello\n' } },
  ])
  expect(heard.request).toMatchObject({
    method: 'POST',
    url: '/v1/jobs/7/stream',
    headers: {
      authorization: 'Bearer a-key',
      'x-earshot-attempt': '3',
      'x-earshot-fence': '-77',
      'x-earshot-node': 'attic',
      'x-earshot-incarnation': '4',
      'content-type': 'application/x-ndjson',
    },
  })
})

test('an output without pieces is told all the same', async () => {
  await open().end({ output: 1 })
  expect(parsed(requests[0]!)).toEqual([{ done: true, output: 1 }])
})

test('a failure is told when something was sent before; else the job may succeed elsewhere, and nothing is said', async () => {
  const error = { code: 'EARSHOT_ENGINE_FAILED', message: 'It broke.', verdict: 'job' } as const
  await open().end({ error })
  expect(requests).toEqual([])
  const stream = open()
  stream.emit({ content: 'x' })
  await stream.end({ error })
  expect(parsed(requests[0]!)).toEqual([
    { content: 'x' },
    { done: true, error: { code: error.code, message: error.message } },
  ])
})

test('one that is cut breaks off without a last line', async () => {
  const stream = open()
  stream.emit({ content: 'x' })
  const heard = await arrived.promise
  await lineCame.promise
  stream.cut()
  await heard.over
  stream.emit({ content: 'y' })
  await stream.end({ output: 1 })
  expect(heard.ended).toBe(false)
  expect(parsed(heard)).toEqual([{ content: 'x' }])
})

test('one that is cut before it was there is never begun', async () => {
  const stream = open()
  stream.emit({ content: 'x' })
  stream.cut()
  await stream.end({ output: 1 })
  expect(requests.every(({ lines }) => lines.length === 0)).toBe(true)
})

test.each<[string, (response: ServerResponse) => void]>([
  ['refuses it', (response) => response.writeHead(409).end()],
  ['breaks it off', (response) => response.destroy()],
])('whoever %s does the job no harm', async (_, how) => {
  answer = how
  const stream = open()
  stream.emit({ content: 'x' })
  await arrived.promise
  for (let i = 0; i < 100; i += 1) stream.emit({ content: 'x'.repeat(10_000) })
  await stream.end({ output: 1 })
})
