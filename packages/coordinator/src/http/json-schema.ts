import vm from 'node:vm'
import { fieldName, wrongField } from '@earshot/contract'
import type { FastifyRequest } from 'fastify'

/** What Fastify's validator (Ajv, https://ajv.js.org) says of a value: its first fault. */
type Fault = {
  instancePath?: string
  keyword?: string
  message?: string
  params?: Record<string, unknown>
}

/**
 * For Fastify: values are checked as they are, never changed to fit; schemas of others may hold
 * words that Ajv does not know.
 */
export const AJV_OPTIONS = {
  coerceTypes: false,
  removeAdditional: false,
  useDefaults: false,
  allErrors: false,
  strict: false,
  logger: false,
} as const

/**
 * Schemas by their text: the validator keeps what it compiled by the object it was given, and each
 * answer of the database is another object.
 */
const known = new Map<string, Record<string, unknown>>()

/**
 * Checks a value by a JSON Schema of draft 7.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST whose `field`, below `prefix`, is the first one that is
 *   wrong, or `payload_schema`
 */
export function checkBySchema(
  request: FastifyRequest,
  schema: Record<string, unknown>,
  value: unknown,
  prefix: string,
): void {
  const validate = compile(request, schema, 'payload_schema')
  if (runLimited(() => validate(value))) return
  const {
    instancePath = '',
    keyword,
    message = 'it does not fit',
    params = {},
  } = (validate.errors?.[0] ?? {}) as Fault
  const path = instancePath
    .split('/')
    .slice(1)
    .map((part) => decodePointer(part))
  if (keyword === 'required')
    throw wrongField(fieldName(prefix, [...path, String(params.missingProperty)]), 'it is missing')
  if (keyword === 'additionalProperties')
    throw wrongField(fieldName(prefix, [...path, String(params.additionalProperty)]), undefined)
  throw wrongField(fieldName(prefix, path), message)
}

const LIMIT_MS = 500
const context = vm.createContext(Object.create(null))
const script = new vm.Script('check()')

/**
 * Runs a check for 500 ms at most. Patterns of a user's schema can backtrack without end, on the
 * thread that answers everyone. Why not a linear engine: docs/adr/0012-schema-limit.md.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST, its `field` `payload_schema`, when time is up
 */
function runLimited(check: () => unknown): boolean {
  context.check = check
  try {
    return script.runInContext(context, { timeout: LIMIT_MS }) === true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw cause
    throw wrongField('payload_schema', `it takes longer than ${LIMIT_MS} ms to check this payload`)
  } finally {
    context.check = undefined
  }
}

type Validate = ReturnType<FastifyRequest['compileValidationSchema']>

/** @throws EarshotError EARSHOT_BAD_REQUEST, its `field` as given, when this is no JSON Schema */
export function compile(
  request: FastifyRequest,
  schema: Record<string, unknown>,
  field: string,
): Validate {
  const text = JSON.stringify(schema)
  const same = known.get(text) ?? schema
  try {
    const validate = request.compileValidationSchema(same)
    known.set(text, same)
    return validate
  } catch (cause) {
    throw wrongField(
      field,
      `it is no JSON Schema of draft 7 (${cause instanceof Error ? cause.message : String(cause)})`,
    )
  }
}

/** A part of a JSON pointer (RFC 6901); digits are taken for places in a list. */
function decodePointer(part: string): string | number {
  return /^\d+$/.test(part) ? Number(part) : part.replaceAll('~1', '/').replaceAll('~0', '~')
}
