import { defineKind, KINDS, z } from '@earshot/contract'
import { afterAll, beforeAll, expect, expectTypeOf, test } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { type Mesh, startMesh } from './mesh.ts'

const invoice = defineKind({
  kind: 'acme.invoice',
  role: 'paper',
  payload: z.object({
    pages: z.array(z.object({ width: z.number() })),
    note: z.string().optional(),
  }),
  result: z.object({ due: z.iso.datetime().transform((at) => new Date(at)) }),
})
let mesh: Mesh
beforeAll(async () => {
  mesh = await startMesh(databases.at(-1)!)
})
afterAll(() => mesh[Symbol.asyncDispose]())
const post = async (path: string, body: unknown) => {
  const answer = await fetch(mesh.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return { status: answer.status, ...((await answer.json()) as { error?: object; id?: number }) }
}

test.each([
  ['a built-in name', { ...invoice.registration, kind: 'embed' }, undefined],
  ['a built-in role', { ...invoice.registration, role: 'tts' }, undefined],
  ['a name that is none', { ...invoice.registration, kind: 'In voice' }, 'kind'],
  [
    'a schema that is none',
    { ...invoice.registration, payload_schema: { type: 'paper' } },
    'payload_schema',
  ],
  ['a field that is none', { ...invoice.registration, tries: 3 }, 'tries'],
])('%s is not registered', async (_, body, field) => {
  const answer = await post('/v1/kinds', body)
  expect(answer).toMatchObject({
    status: 400,
    error: { code: 'EARSHOT_BAD_REQUEST', ...(field === undefined ? {} : { field }) },
  })
})

test('a kind that was registered waits for workers, and its payloads are checked by its schema without being changed', async () => {
  await expect(mesh.client.enqueue(invoice, { pages: [] })).rejects.toMatchObject({
    code: 'EARSHOT_UNKNOWN_KIND',
    hint: expect.stringContaining('embed, generate, read, speak, transcribe, vectors'),
  })
  expect(await mesh.client.register(invoice)).toMatchObject([
    { kind: 'acme.invoice', role: 'paper', built_in: false },
  ])
  const bad = async (payload: unknown) =>
    (await post('/v1/jobs', { jobs: [{ kind: 'acme.invoice', payload }] })).error
  expect(await bad({})).toMatchObject({
    code: 'EARSHOT_BAD_REQUEST',
    field: 'jobs[0].payload.pages',
    message: '"jobs[0].payload.pages" is wrong: it is missing.',
  })
  expect(await bad({ pages: [{ width: 3 }, { width: '3' }] })).toMatchObject({
    field: 'jobs[0].payload.pages[1].width',
  })
  expect(await bad({ pages: [], nite: 'x' })).toMatchObject({
    message: 'There is no field "jobs[0].payload.nite".',
  })
  const payload = { pages: [{ width: 3, height: 4 }], note: 'x' }
  const { id } = await post('/v1/jobs', { kind: 'acme.invoice', payload })
  expect(await mesh.client.get(id!)).toMatchObject({
    kind: 'acme.invoice',
    role: 'paper',
    status: 'pending',
    payload,
    document_id: null,
  })
})

test('the list shows the built-in ones with their schemas, and those of others', async () => {
  const kinds = await mesh.client.kinds()
  expect(kinds.filter((kind) => kind.built_in).map((kind) => kind.kind)).toEqual(
    Object.keys(KINDS).toSorted(),
  )
  expect(kinds.find((kind) => kind.kind === 'speak')).toMatchObject({
    role: KINDS.speak.role,
    payload_schema: { required: ['text'], additionalProperties: false },
  })
  expect(kinds.find((kind) => kind.kind === 'acme.invoice')).toMatchObject({
    built_in: false,
    payload_schema: invoice.registration.payload_schema,
  })
})

test('the mesh knows exactly the kinds that the contract has, under the same roles', async () => {
  const { rows } = await mesh.test.db.pool.query(
    'select kind, role from earshot.job_kinds where built_in order by kind',
  )
  expect(rows).toEqual(
    Object.entries(KINDS)
      .map(([kind, { role }]) => ({ kind, role }))
      .toSorted((a, b) => a.kind.localeCompare(b.kind)),
  )
})

test('payload and result are typed by the definition', () => {
  const { client } = mesh
  const done = async () => client.wait(await client.enqueue(invoice, { pages: [{ width: 1 }] }))
  expectTypeOf<Awaited<ReturnType<typeof done>>['result']>().toEqualTypeOf<{ due: Date } | null>()
  const byId = async () => client.get(3, { kind: invoice })
  expectTypeOf<Awaited<ReturnType<typeof byId>>['kind']>().toEqualTypeOf<'acme.invoice'>()
  // @ts-expect-error a payload that does not fit
  void (() => client.enqueue(invoice, { pages: 3 }))
})

test('a payload whose check takes too long is refused, and the mesh goes on', async () => {
  const kind = 'acme.slow'
  const payload_schema = {
    type: 'object',
    properties: { name: { type: 'string', pattern: '^(a+)+$' } },
  }
  expect(await post('/v1/kinds', { ...invoice.registration, kind, payload_schema })).toMatchObject({
    status: 201,
  })
  // 28 letters hold a check without a limit for seconds.
  const body = (name: string) => ({ kind, payload: { name } })
  expect(await post('/v1/jobs', body(`${'a'.repeat(28)}!`))).toMatchObject({
    status: 400,
    error: { code: 'EARSHOT_BAD_REQUEST', field: 'payload_schema' },
  })
  expect(await post('/v1/jobs', body('aaa'))).toMatchObject({ status: 201 })
})
