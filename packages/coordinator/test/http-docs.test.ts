import { readFileSync } from 'node:fs'
import { ERRORS, KINDS } from '@earshot/contract'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { routesIn, withRouteTables } from '../../../test/helpers/route-tables.ts'
import { type Mesh, startMesh } from './mesh.ts'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

test('docs/errors.md lists each error of the catalogue as it is', () => {
  const rows = text('../../../docs/errors.md')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
  expect(rows).toEqual(
    Object.entries(ERRORS).map(
      ([code, { status, about }]) => `| \`${code}\` | ${status} | ${about} |`,
    ),
  )
})

describe('the routes', () => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await startMesh('embedded')
  })
  afterAll(() => mesh[Symbol.asyncDispose]())

  test('stand each in docs/http.md or docs/openai.md, as they are: pnpm docs writes the tables', () => {
    const pages = ['http', 'openai'].map((name) => text(`../../../docs/${name}.md`))
    expect(mesh.http.routes.length).toBeGreaterThan(30)
    expect(pages.flatMap(routesIn).toSorted()).toEqual(mesh.http.routes.toSorted())
    for (const page of pages) expect(page).toBe(withRouteTables(page))
  })

  test('stand each in /openapi.json, and nothing else does', async () => {
    const document = await openApi(mesh.url)
    const described = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const routes = mesh.http.routes.map((route) =>
      route.replace('/v1/models/*', '/v1/models/:model').replace(/:(\w+)/g, '{$1}'),
    )
    expect(described.toSorted()).toEqual(routes.toSorted())
  })

  test('are described by what the requests are checked by', async () => {
    const { paths, components } = await openApi(mesh.url)
    const query = paths['/v1/jobs']!.get!.parameters!.map(({ name }) => name)
    expect(query).toEqual(['status', 'kind', 'before', 'ids', 'limit', 'payload'])
    expect(
      paths['/v1/chat/completions']!.post!.requestBody!.content['application/json']!.schema
        .required,
    ).toEqual(['model', 'messages'])
    expect(
      paths['/v1/audio/transcriptions']!.post!.requestBody!.content['multipart/form-data']!.schema
        .required,
    ).toEqual(['file', 'model'])
    expect(Object.keys(components.schemas)).toEqual(
      expect.arrayContaining(
        Object.keys(KINDS).map((kind) => `${kind.charAt(0).toUpperCase()}${kind.slice(1)}Payload`),
      ),
    )
  })

  test('publish what they answer with, wherever that is JSON', async () => {
    const { paths } = await openApi(mesh.url)
    const without = Object.values(paths)
      .flatMap((operations) => Object.values(operations))
      .filter(({ responses: { default: _, ...answers } }) =>
        Object.values(answers).some(
          ({ content }) =>
            Object.hasOwn(content, 'application/json') &&
            content['application/json']?.schema === undefined,
        ),
      )
      .map(({ operationId }) => operationId)
    expect(without).toEqual([])
  })

  test('have names of their own, and refer to nothing that is not there', async () => {
    const document = await openApi(mesh.url)
    const ids = Object.values(document.paths).flatMap((operations) =>
      Object.values(operations).map(({ operationId }) => operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref!)
    for (const ref of refs)
      expect(Object.keys(document.components.schemas)).toContain(
        ref.replace('#/components/schemas/', ''),
      )
  })
})

type Operation = {
  operationId: string
  parameters?: { name: string }[]
  responses: Record<string, { content: Record<string, { schema?: unknown }> }>
  requestBody?: { content: Record<string, { schema: { required?: string[] } }> }
}
type Document = {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, unknown> }
}

async function openApi(url: string): Promise<Document> {
  return (await (await fetch(`${url}/openapi.json`)).json()) as Document
}
