import { ERRORS, type ErrorBody, KINDS } from '@earshot/contract'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Mesh, startMesh } from './mesh.ts'

let mesh: Mesh
beforeAll(async () => {
  mesh = await startMesh('embedded')
})
afterAll(() => mesh[Symbol.asyncDispose]())

async function ask(
  path: string,
  body?: unknown,
  headers: Record<string, string> = { 'content-type': 'application/json' },
): Promise<{ status: number } & ErrorBody> {
  const init =
    body === undefined
      ? {}
      : { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) }
  const response = await fetch(mesh.url + path, init)
  return { status: response.status, ...((await response.json()) as ErrorBody) }
}

const speak = { kind: 'speak', payload: { text: 'hello' } }
const hash = 'a'.repeat(64)

describe('a bad request gets a code of the catalogue and the name of the field', () => {
  test.each<[string, string, unknown, string, string | undefined]>([
    ['no JSON', '/v1/jobs', '{"kind":', 'EARSHOT_BAD_REQUEST', undefined],
    ['an empty body', '/v1/jobs', '', 'EARSHOT_BAD_REQUEST', undefined],
    ['a number as body', '/v1/jobs', '7', 'EARSHOT_BAD_REQUEST', undefined],
    [
      'a poisoned body',
      '/v1/jobs',
      '{"kind":"speak","__proto__":{"x":1}}',
      'EARSHOT_BAD_REQUEST',
      undefined,
    ],
    [
      'a body of 20,000 levels',
      '/v1/jobs',
      `{"kind":"generate","payload":{"messages":[{"role":"user"}],"format":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}}`,
      'EARSHOT_BAD_REQUEST',
      undefined,
    ],
    ['8 MB of brackets', '/v1/jobs', '['.repeat(8e6), 'EARSHOT_BAD_REQUEST', undefined],
    ['30 MB of entries', '/v1/jobs', `[${'1,'.repeat(15e6)}1]`, 'EARSHOT_TOO_LARGE', undefined],
    [
      'a job of 5 MB',
      '/v1/jobs',
      { jobs: [speak, { kind: 'speak', payload: { text: 'x'.repeat(5e6) } }] },
      'EARSHOT_TOO_LARGE',
      undefined,
    ],
    ['no kind', '/v1/jobs', {}, 'EARSHOT_BAD_REQUEST', 'kind'],
    ['an unknown kind', '/v1/jobs', { kind: 'dance' }, 'EARSHOT_UNKNOWN_KIND', 'kind'],
    [
      'a kind that every object has',
      '/v1/jobs',
      { kind: 'constructor' },
      'EARSHOT_UNKNOWN_KIND',
      'kind',
    ],
    [
      'a payload without its field',
      '/v1/jobs',
      { kind: 'speak', payload: {} },
      'EARSHOT_BAD_REQUEST',
      'payload.text',
    ],
    [
      'an unknown field of a payload',
      '/v1/jobs',
      { kind: 'speak', payload: { text: 'x', voise: 'y' } },
      'EARSHOT_BAD_REQUEST',
      'payload.voise',
    ],
    ['an unknown option', '/v1/jobs', { ...speak, prority: 3 }, 'EARSHOT_BAD_REQUEST', 'prority'],
    [
      'a time without a zone',
      '/v1/jobs',
      { ...speak, run_at: '2030-01-01T00:00:00' },
      'EARSHOT_BAD_REQUEST',
      'run_at',
    ],
    [
      'a requirement that is no plain value',
      '/v1/jobs',
      { ...speak, requires: { gpu: ['x'] } },
      'EARSHOT_BAD_REQUEST',
      'requires.gpu',
    ],
    [
      'requirements of 101 tags',
      '/v1/jobs',
      { ...speak, requires: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [n, 1])) },
      'EARSHOT_BAD_REQUEST',
      'requires',
    ],
    [
      'text that no database holds',
      '/v1/jobs',
      { kind: 'speak', payload: { text: 'a\u0000b' } },
      'EARSHOT_BAD_REQUEST',
      undefined,
    ],
    [
      'media that is nowhere',
      '/v1/jobs',
      { kind: 'transcribe', payload: { media: hash } },
      'EARSHOT_NOT_FOUND',
      'payload.media',
    ],
    [
      'a document that is nowhere',
      '/v1/jobs',
      { kind: 'embed', payload: { document_id: 99 } },
      'EARSHOT_NOT_FOUND',
      'payload.document_id',
    ],
    [
      'one bad job among good ones',
      '/v1/jobs',
      { jobs: [speak, { kind: 'speak', payload: { text: ' ' } }] },
      'EARSHOT_BAD_REQUEST',
      'jobs[1].payload.text',
    ],
    ['no jobs at all', '/v1/jobs', { jobs: [] }, 'EARSHOT_BAD_REQUEST', 'jobs'],
    [
      'more than 1,000 jobs',
      '/v1/jobs',
      { jobs: Array(1_001).fill(speak) },
      'EARSHOT_BAD_REQUEST',
      'jobs',
    ],
    ['a job id that is a word', '/v1/jobs/abc', undefined, 'EARSHOT_BAD_REQUEST', 'id'],
    [
      'a job id over every limit',
      '/v1/jobs/99999999999999999999',
      undefined,
      'EARSHOT_BAD_REQUEST',
      'id',
    ],
    ['a job that is not there', '/v1/jobs/99', undefined, 'EARSHOT_NOT_FOUND', 'id'],
    ['cancelling a job that is not there', '/v1/jobs/99/cancel', {}, 'EARSHOT_NOT_FOUND', 'id'],
    ['cancelling nothing', '/v1/jobs/cancel', { ids: [] }, 'EARSHOT_BAD_REQUEST', 'ids'],
    ['an unknown status', '/v1/jobs?status=done', undefined, 'EARSHOT_BAD_REQUEST', 'status[0]'],
    ['a limit of 0', '/v1/jobs?limit=0', undefined, 'EARSHOT_BAD_REQUEST', 'limit'],
    ['an unknown filter', '/v1/jobs?limt=5', undefined, 'EARSHOT_BAD_REQUEST', 'limt'],
    ['a filter twice', '/v1/jobs?limit=1&limit=2', undefined, 'EARSHOT_BAD_REQUEST', 'limit'],
    ['no query', '/v1/search', undefined, 'EARSHOT_BAD_REQUEST', 'q'],
    ['an empty query', '/v1/search?q=%20', undefined, 'EARSHOT_BAD_REQUEST', 'q'],
    [
      'a query of 10,000 characters',
      `/v1/search?q=${'x'.repeat(10_000)}`,
      undefined,
      'EARSHOT_TOO_LARGE',
      'q',
    ],
    ['101 hits', '/v1/search?q=x&limit=101', undefined, 'EARSHOT_BAD_REQUEST', 'limit'],
    [
      'an event id that is none',
      '/v1/events?since=yesterday',
      undefined,
      'EARSHOT_BAD_REQUEST',
      'since',
    ],
    [
      'an event id of a database that is gone',
      '/v1/events?since=999999999999-1',
      undefined,
      'EARSHOT_BAD_REQUEST',
      'last-event-id',
    ],
    [
      'event types that are none',
      '/v1/events?types=*',
      undefined,
      'EARSHOT_BAD_REQUEST',
      'types[0]',
    ],
    [
      'a hash that is none',
      '/v1/media/../../etc/passwd',
      undefined,
      'EARSHOT_NOT_FOUND',
      undefined,
    ],
    [
      'a hash of other letters',
      `/v1/media/${'A'.repeat(64)}`,
      undefined,
      'EARSHOT_BAD_REQUEST',
      'hash',
    ],
    ['media that is not held', `/v1/media/${hash}`, undefined, 'EARSHOT_NOT_FOUND', 'hash'],
    [
      'a document of media never sent',
      '/v1/documents',
      { media: hash, title: 'x', kind: 'audio' },
      'EARSHOT_NOT_FOUND',
      'media',
    ],
    [
      'a document of an unknown kind',
      '/v1/documents',
      { media: hash, title: 'x', kind: 'film' },
      'EARSHOT_BAD_REQUEST',
      'kind',
    ],
    ['a document that is not there', '/v1/documents/99', undefined, 'EARSHOT_NOT_FOUND', 'id'],
    [
      'a transcript that is not there',
      '/v1/documents/99/transcript',
      undefined,
      'EARSHOT_NOT_FOUND',
      'id',
    ],
    [
      'a transcript in an unknown format',
      '/v1/documents/99/transcript?format=pdf',
      undefined,
      'EARSHOT_BAD_REQUEST',
      'format',
    ],
    ['an artifact that is not there', '/v1/artifacts/99', undefined, 'EARSHOT_NOT_FOUND', 'id'],
    ['a node that is not there', '/v1/nodes/nobody', undefined, 'EARSHOT_NOT_FOUND', 'id'],
    [
      'progress over 1',
      '/v1/progress',
      { node: 'a', incarnation: 1, jobs: [{ id: 1, fraction: 1.5 }] },
      'EARSHOT_BAD_REQUEST',
      'jobs[0].fraction',
    ],
    ['a route that is not there', '/v2/jobs', undefined, 'EARSHOT_NOT_FOUND', undefined],
    [
      'an address with a broken escape',
      '/v1/nodes/%zz',
      undefined,
      'EARSHOT_BAD_REQUEST',
      undefined,
    ],
  ])('%s', async (_, path, body, code, field) => {
    const answer = await ask(path, body)
    expect(answer.error).toMatchObject({ code, ...(field === undefined ? {} : { field }) })
    expect(answer.status).toBe(ERRORS[answer.error.code].status)
    expect(answer.error.message).toMatch(/^[A-Z"].*[.!]$/)
  })

  test('an unknown kind is told which there are', async () => {
    const { error } = await ask('/v1/jobs', { kind: 'dance' })
    for (const kind of Object.keys(KINDS)) expect(error.hint).toContain(kind)
  })

  test('a body of another type is refused', async () => {
    expect(
      await ask('/v1/jobs', 'kind=speak', { 'content-type': 'application/x-www-form-urlencoded' }),
    ).toMatchObject({ status: 400, error: { field: 'content-type' } })
  })

  test('a body over the limit is refused before it is read', async () => {
    expect(await ask('/v1/jobs/cancel', `{"ids":[${'1,'.repeat(600_000)}1]}`)).toMatchObject({
      status: 413,
      error: { code: 'EARSHOT_TOO_LARGE' },
    })
  })

  test('nothing was stored by any of them', async () => {
    expect(await mesh.client.jobs()).toEqual([])
  })
})

test("any JSON whatever is either taken or refused as a client's fault", async () => {
  const field = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom('speak', 'embed', 'read', '2030-01-01T00:00:00Z', hash),
  )
  const job = fc.record(
    {
      kind: fc.oneof(fc.constantFrom(...Object.keys(KINDS)), fc.string()),
      payload: fc.oneof(
        fc.record({ text: field, document_id: field, media: field }, { requiredKeys: [] }),
        fc.jsonValue(),
      ),
      requires: fc.oneof(fc.dictionary(fc.string(), field), fc.jsonValue()),
      priority: field,
      run_at: field,
      deadline: field,
      idempotency_key: field,
      max_tries: field,
    },
    { requiredKeys: ['kind'] },
  )
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.jsonValue(), job), async (body) => {
      const response = await fetch(`${mesh.url}/v1/jobs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      const text = await response.text()
      expect(response.status, text).toBeLessThan(500)
    }),
    { numRuns: 300 },
  )
})

test('a fault inside shows nothing of it', async () => {
  await mesh.test.db.pool.query('alter table earshot.nodes rename to nodes_away')
  try {
    const { status, error } = await ask('/v1/nodes')
    expect([status, error.code]).toEqual([503, 'EARSHOT_SCHEMA_MISSING'])
    expect((await fetch(`${mesh.url}/healthz`)).status).toBe(503)
  } finally {
    await mesh.test.db.pool.query('alter table earshot.nodes_away rename to nodes')
  }
  expect((await fetch(`${mesh.url}/healthz`)).status).toBe(200)
})
