import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/helpers/database.ts'
import { type Mesh, startMesh } from './mesh.ts'

let own: TestDatabase
beforeAll(async () => {
  own = await testDatabase('embedded')
})
afterAll(() => own[Symbol.asyncDispose]())

/** All that comes until the service closes the connection. */
async function say(mesh: Mesh, text: string, more?: string): Promise<string> {
  const socket = connect(mesh.port, '127.0.0.1')
  let answer = ''
  socket.on('data', (piece) => (answer += piece))
  socket.write(text)
  const trickle = setInterval(() => more !== undefined && socket.write(more), 50)
  socket.on('error', () => {})
  await once(socket, 'close').finally(() => clearInterval(trickle))
  return answer
}

describe('a body that never ends is given up', () => {
  const json = 'content-type: application/json\r\n'
  const form = 'content-type: multipart/form-data; boundary=x\r\n'
  const post = (path: string, headers: string, body = '') =>
    `POST ${path} HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n${body}`
  const bodyTimes = { silenceMs: 300, totalMs: 900 }

  test.each([
    ['JSON that stops', post('/v1/jobs', `${json}content-length: 50\r\n`, '{"kind"'), 408],
    ['chunks that stop', post('/v1/jobs', `${json}transfer-encoding: chunked\r\n`, '2\r\n{"'), 408],
    ['nothing at all', post('/v1/jobs', `${json}content-length: 9\r\n`), 408],
    ['a body to nowhere', post('/v1/nowhere', `${json}content-length: 9\r\n`, '{'), 408],
    ['a body that is refused', post('/v1/jobs', `content-length: 9\r\n`, '{'), 400],
    ['a body to a broken address', post('/v1/%zz', `content-length: 9\r\n`, '{'), 400],
  ])('%s', async (_, text, status) => {
    await using mesh = await startMesh('embedded', { test: own, limits: { bodyTimes } })
    expect(await say(mesh, text)).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  test('a byte now and then does not keep it for ever', async () => {
    await using mesh = await startMesh('embedded', { test: own, limits: { bodyTimes } })
    const answer = await say(mesh, post('/v1/jobs', `${json}content-length: 5000\r\n`, '{'), ' ')
    expect(answer).toContain('EARSHOT_BODY_LATE')
  })

  test('files may take their time, until something is answered', async () => {
    await using mesh = await startMesh('embedded', { test: own, limits: { bodyTimes } })
    // 30 bytes at 20 a second: longer than the 0.9 s of other bodies.
    const file = post('/v1/media', 'connection: close\r\ncontent-length: 30\r\n', 'abc')
    expect(await say(mesh, file, 'd')).toMatch(/^HTTP\/1.1 201 /)
    const refused = await say(
      mesh,
      post('/v1/audio/transcriptions', `${form}content-length: 99\r\n`, 'x'),
      'y',
    )
    expect(refused).toMatch(/^HTTP\/1.1 4/)
  })
})

describe('more requests than connections', () => {
  test('queue, and the health does not wait for them', async () => {
    await using mesh = await startMesh('embedded', { test: own })
    const asked = Array.from({ length: 600 }, () => fetch(`${mesh.url}/v1/nodes`))
    const health = await fetch(`${mesh.url}/healthz`, { signal: AbortSignal.timeout(5_000) })
    expect(health.status).toBe(200)
    const statuses = (await Promise.all(asked)).map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set([200]))
  })

  test('are told to come again when the queue is full', async () => {
    await using mesh = await startMesh('embedded', {
      test: own,
      limits: { queries: { atOnce: 1, waiting: 1, waitMs: 5_000 } },
    })
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => fetch(`${mesh.url}/v1/nodes`)),
    )
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused[0]!.headers.get('retry-after')).toBe('1')
    expect(await refused[0]!.json()).toMatchObject({ error: { code: 'EARSHOT_BUSY' } })
    expect(answers.some(({ status }) => status === 200)).toBe(true)
    const ask = () =>
      fetch(`${mesh.url}/v1/audio/speech`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"model": "tts-1", "input": "a"}',
      })
    const spoken = await Promise.all(Array.from({ length: 50 }, ask))
    expect(spoken.every(({ status }) => status === 429 || status === 503)).toBe(true)
  })
})
