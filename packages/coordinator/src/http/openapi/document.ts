import { ErrorAnswer, jsonSchemaOf, KINDS, strict } from '@earshot/contract'
import { z } from 'zod'
import type { Operation } from './operation.ts'
import { OPERATIONS } from './operations.ts'

type Json = Record<string, unknown>

const OPENAI_ERROR: Json = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['message', 'type', 'param', 'code'],
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: { type: ['string', 'null'] },
        code: { type: 'string' },
      },
    },
  },
}

/**
 * The whole service as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1). What goes in follows
 * from the schemas by which requests are checked; what is kept of a job is described by the kinds'
 * own schemas.
 */
export function openApiDocument({ url, version }: { url: string; version: string }): Json {
  const paths: Record<string, Json> = {}
  for (const [route, operation] of Object.entries(OPERATIONS)) {
    const [method, path] = route.split(' ') as [string, string]
    const at = path.replace('/v1/models/*', '/v1/models/:model').replace(/:(\w+)/g, '{$1}')
    paths[at] = { ...paths[at], [method.toLowerCase()]: describe(route, at, operation) }
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Earshot',
      version,
      description: 'One machine of many computers, that listens, speaks, thinks and remembers.',
    },
    servers: [{ url }],
    security: [{ key: [] }],
    paths,
    components: {
      securitySchemes: {
        key: {
          type: 'http',
          scheme: 'bearer',
          description: 'The mesh key; not needed on loopback',
        },
      },
      schemas: {
        Error: schemaOf(ErrorAnswer, 'output'),
        OpenAiError: OPENAI_ERROR,
        ...kindSchemas(),
      },
    },
  }
}

function describe(
  route: string,
  path: string,
  { about, query, body, form, headers = {}, answer, access, openai }: Operation,
): Json {
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string' },
    })),
    ...parametersOf(query),
    ...Object.entries(headers).map(([name, description]) => ({
      name,
      in: 'header',
      required: true,
      description,
      schema: { type: 'string' },
    })),
  ]
  const content =
    form !== undefined
      ? { 'multipart/form-data': { schema: formOf(form) } }
      : body === undefined
        ? undefined
        : contentOf(body)
  return {
    operationId: operationId(route),
    summary: about,
    ...(access === 'open'
      ? { security: [] }
      : access === 'signed'
        ? { security: [{ key: [] }, {}] }
        : {}),
    ...(parameters.length > 0 && { parameters }),
    ...(content && { requestBody: { required: true, content } }),
    responses: {
      [answer.status ?? 200]: {
        description: answer.about,
        content: Object.fromEntries(
          [answer.type ?? 'application/json']
            .flat()
            .map((type) => [
              type,
              type === 'application/json' && answer.schema !== undefined
                ? { schema: schemaOf(answer.schema, 'output') }
                : {},
            ]),
        ),
      },
      default: {
        description: 'It failed',
        content: {
          'application/json': {
            schema: { $ref: `#/components/schemas/${openai ? 'OpenAiError' : 'Error'}` },
          },
        },
      },
    },
  }
}

function contentOf(body: NonNullable<Operation['body']>): Json {
  if (body === 'bytes') return { '*/*': { schema: { type: 'string', format: 'binary' } } }
  if (body === 'ndjson') return { 'application/x-ndjson': { schema: { type: 'string' } } }
  return { 'application/json': { schema: schemaOf(body) } }
}

function formOf(form: z.ZodType): Json {
  const {
    properties = {},
    required = [],
    ...rest
  } = schemaOf(form) as { properties?: Json; required?: string[] }
  return {
    ...rest,
    properties: { file: { type: 'string', format: 'binary' }, ...properties },
    required: ['file', ...required],
  }
}

function parametersOf(query: z.ZodType | undefined): Json[] {
  if (query === undefined) return []
  const { properties = {}, required = [] } = schemaOf(query) as {
    properties?: Json
    required?: string[]
  }
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }))
}

/**
 * What may be sent, or is answered. What JSON Schema cannot say (a function that looks closer) is
 * left out.
 */
function schemaOf(schema: z.ZodType, io: 'input' | 'output' = 'input'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' })
  // Later versions may answer with more.
  return io === 'output' ? withoutClosing(rest) : rest
}

function withoutClosing(schema: unknown): Json {
  return JSON.parse(
    JSON.stringify(schema, (key, value: unknown) =>
      key === 'additionalProperties' && value === false ? undefined : value,
    ),
  ) as Json
}

/**
 * `TranscribePayload`, `TranscribeResult` and so on: what `payload` and `result` of a job hold, by
 * its kind.
 */
function kindSchemas(): Json {
  return Object.fromEntries(
    Object.entries(KINDS).flatMap(([kind, { payload, result }]) => {
      const name = kind.charAt(0).toUpperCase() + kind.slice(1)
      return [
        [`${name}Payload`, jsonSchemaOf(strict(payload), kind, 'payload')],
        [`${name}Result`, jsonSchemaOf(result, kind, 'result')],
      ]
    }),
  )
}

/** `POST /v1/jobs/:id/cancel` becomes `postJobsIdCancel`. */
function operationId(route: string): string {
  const [method = '', ...words] = route
    .replace('/v1', '')
    .replace('*', 'model')
    .split(/[^A-Za-z]+/)
    .filter((word) => word !== '')
  return (
    method.toLowerCase() +
    words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
  )
}
