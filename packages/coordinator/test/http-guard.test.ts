import { EarshotError, type ErrorBody } from '@earshot/contract'
import { request } from 'node:http'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testDatabase, type TestDatabase } from '../../../test/helpers/database.ts'
import { isLoopback } from '../src/http/guard.ts'
import { type Mesh, startMesh } from './mesh.ts'

let own: TestDatabase
beforeAll(async () => {
  own = await testDatabase('embedded')
})
afterAll(() => own[Symbol.asyncDispose]())

/** fetch() sets Host and Origin itself, so that they need a plain request. */
function get(
  mesh: Mesh,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<{ status: number; body: ErrorBody }> {
  return new Promise((resolve, reject) => {
    request(
      { host: '127.0.0.1', port: mesh.port, path, headers, method, agent: false },
      (response) => {
        let text = ''
        response.on('data', (piece) => (text += piece))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as ErrorBody }),
        )
      },
    )
      .on('error', reject)
      .end()
  })
}

describe('who may ask', () => {
  test('beyond loopback nothing starts without a key', async () => {
    await expect(
      startMesh('embedded', { test: own, settings: { host: '0.0.0.0' } }),
    ).rejects.toMatchObject({ code: 'EARSHOT_KEY_NEEDED', field: 'EARSHOT_KEY' })
  })

  test('a port that is taken gives one sentence that names it', async () => {
    await using mesh = await startMesh('embedded', { test: own })
    const second = startMesh('embedded', { test: own, settings: { port: mesh.port } })
    await expect(second).rejects.toThrow(`Port ${mesh.port} of 127.0.0.1 is taken`)
    await expect(second).rejects.toMatchObject({
      code: 'EARSHOT_BAD_CONFIG',
      field: 'EARSHOT_PORT',
    })
  })

  test.each(['evil.example', 'evil.example:7700', '127.0.0.1.evil.example', '192.168.1.5'])(
    'a foreign Host is refused: %s',
    async (host) => {
      await using mesh = await startMesh('embedded', { test: own })
      const { status, body } = await get(mesh, '/v1/jobs', { host })
      expect([status, body.error.code, body.error.field]).toEqual([
        403,
        'EARSHOT_FORBIDDEN_ORIGIN',
        'host',
      ])
    },
  )

  test.each(['localhost', 'LOCALHOST:1', '127.0.0.1:7700', '[::1]:7700', 'earshot.lan'])(
    'loopback and the advertised name are answered: %s',
    async (host) => {
      await using mesh = await startMesh('embedded', {
        test: own,
        settings: { url: 'http://earshot.lan:7700' },
      })
      expect((await get(mesh, '/v1/jobs', { host })).status).toBe(200)
    },
  )

  test.each(['http://evil.example', 'null', 'http://127.0.0.1:1', 'https://127.0.0.1:7700'])(
    'a page of another origin is refused: %s',
    async (origin) => {
      await using mesh = await startMesh('embedded', { test: own })
      const { status, body } = await get(mesh, '/healthz', { origin })
      expect([status, body.error.code]).toEqual([403, 'EARSHOT_FORBIDDEN_ORIGIN'])
    },
  )

  test('the page that the mesh itself serves may ask, and no other is ever allowed by CORS', async () => {
    await using mesh = await startMesh('embedded', { test: own })
    const response = await fetch(`${mesh.url}/v1/nodes`, { headers: { origin: mesh.url } })
    expect(response.status).toBe(200)
    expect(
      [...response.headers.keys()].filter((name) => name.startsWith('access-control')),
    ).toEqual([])
  })

  test('beyond loopback every route but the health asks for the key', async () => {
    await using mesh = await startMesh('embedded', {
      test: own,
      settings: { host: '0.0.0.0', key: 'open sesame' },
    })
    const status = async (path: string, key?: string): Promise<number> =>
      (
        await fetch(mesh.url + path, {
          headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
        })
      ).status
    expect(await status('/healthz')).toBe(200)
    expect(await status('/v1/jobs')).toBe(401)
    expect(await status('/v1/nowhere')).toBe(401)
    expect(await status('/v1/jobs', 'open sesam')).toBe(401)
    expect(await status('/v1/jobs', 'open sesame!')).toBe(401)
    expect(await status('/v1/jobs', 'open sesame')).toBe(200)
    expect(await mesh.client.jobs()).toEqual([])
  })

  test('clients of OpenAI are told about the key in their own protocol', async () => {
    await using mesh = await startMesh('embedded', {
      test: own,
      settings: { host: '0.0.0.0', key: 'open sesame' },
    })
    const ask = (key: string) =>
      fetch(`${mesh.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })
    const refused = await ask('sk-123')
    expect(refused.status).toBe(401)
    expect(await refused.json()).toEqual({
      error: {
        message: expect.stringContaining('not the key'),
        type: 'invalid_request_error',
        param: null,
        code: 'invalid_api_key',
      },
    })
    expect(await (await ask('open sesame')).json()).toEqual({ object: 'list', data: [] })
  })

  test('a key that is set is asked for on loopback, too', async () => {
    await using mesh = await startMesh('embedded', { test: own, settings: { key: 'open sesame' } })
    expect((await fetch(`${mesh.url}/v1/jobs`)).status).toBe(401)
    expect((await fetch(`${mesh.url}/healthz`)).status).toBe(200)
    expect(await mesh.client.jobs()).toEqual([])
  })

  test.each(['cross-site', 'same-site', 'whatever'])(
    'a browser may not change anything for a page of another site: %s',
    async (site) => {
      await using mesh = await startMesh('embedded', { test: own })
      const ask = (path: string, method: string, value: string) =>
        get(mesh, path, { 'sec-fetch-site': value }, method)
      expect(await ask('/v1/jobs/1/cancel', 'POST', site)).toMatchObject({
        status: 403,
        body: { error: { code: 'EARSHOT_FORBIDDEN_ORIGIN', field: 'sec-fetch-site' } },
      })
      expect((await ask('/v1/jobs/1/cancel', 'POST', 'same-origin')).status).toBe(404)
      expect((await ask('/v1/jobs', 'GET', site)).status).toBe(200)
    },
  )

  test('a compressed body is told that it is not taken', async () => {
    await using mesh = await startMesh('embedded', { test: own })
    const response = await fetch(`${mesh.url}/v1/embeddings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      body: gzipSync('{}'),
    })
    expect(response.status).toBe(415)
    expect(await response.json()).toMatchObject({ error: { code: 'EARSHOT_ENCODED' } })
  })

  test('loopback is known by its addresses, not by its looks', () => {
    expect(
      ['127.0.0.1', '127.9.9.9', '::1', '[::1]', 'localhost', '::ffff:127.0.0.1'].map(isLoopback),
    ).toEqual(Array(6).fill(true))
    expect(
      ['0.0.0.0', '::', '128.0.0.1', 'localhost.evil.example', '127.0.0.1.evil.example'].map(
        isLoopback,
      ),
    ).toEqual(Array(5).fill(false))
  })
})

describe('what is not HTTP', () => {
  const speak = (mesh: Mesh, bytes: string): Promise<string> =>
    new Promise((resolve, reject) => {
      let answer = ''
      const socket = connect(mesh.port, '127.0.0.1', () => socket.write(bytes))
      socket.on('data', (piece) => (answer += piece))
      socket.on('error', reject).on('close', () => resolve(answer))
    })

  test('a broken request line is answered in the shape of all errors', async () => {
    await using mesh = await startMesh('embedded', { test: own })
    const answer = await speak(mesh, 'HELLO?\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toEqual(
      new EarshotError('EARSHOT_BAD_REQUEST', 'The request is not HTTP.').toJSON(),
    )
  })

  test.each([
    'localhost\r\nHost: localhost',
    'localhost\r\nhost: evil.example',
    'localhost, evil.example',
    'localhost:7700@evil.example',
    'localhost/evil',
    'localhost:port',
    '[::1',
  ])('a Host that is there twice, or is none, is refused: %j', async (host) => {
    await using mesh = await startMesh('embedded', { test: own })
    const answer = await speak(
      mesh,
      `GET /v1/jobs HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer).toContain('"field":"host"')
  })

  test('an address of 20 KB is too large', async () => {
    await using mesh = await startMesh('embedded', { test: own })
    const response = await fetch(`${mesh.url}/v1/search?q=${'x'.repeat(20_000)}`)
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ error: { code: 'EARSHOT_TOO_LARGE' } })
  })
})
