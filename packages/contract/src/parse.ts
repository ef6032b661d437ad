import type { z } from 'zod'
import { EarshotError, type ErrorCode } from './errors.ts'

/**
 * Reads a value by its schema.
 *
 * @param prefix where the value stands in what was sent, for the error's `field`
 * @param code what it means when it does not fit; a bad request unless told otherwise
 * @throws EarshotError whose `field` is the first one that is wrong
 * @example
 * parse(z.object({ limit: z.coerce.number() }), { limit: 'x' }) // throws, field 'limit'
 */
export function parse<S extends z.ZodType>(
  schema: S,
  value: unknown,
  prefix = '',
  code: ErrorCode = 'EARSHOT_BAD_REQUEST',
): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  if (issue === undefined) throw new EarshotError(code, 'The request is wrong.')
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const path = unknown === undefined ? issue.path : [...issue.path, unknown]
  throw wrongField(fieldName(prefix, path), unknown === undefined ? issue.message : undefined, code)
}

/**
 * The error for one wrong field, or for the whole where `field` is empty; without `what`, there is
 * no such field.
 */
export function wrongField(
  field: string,
  what: string | undefined,
  code: ErrorCode = 'EARSHOT_BAD_REQUEST',
): EarshotError {
  if (what === undefined) return new EarshotError(code, `There is no field "${field}".`, { field })
  if (field === '') return new EarshotError(code, `The body is wrong: ${lowerFirst(what)}.`)
  return new EarshotError(code, `"${field}" is wrong: ${lowerFirst(what)}.`, { field })
}

/** `jobs`, 3, `payload` becomes `jobs[3].payload`. */
export function fieldName(prefix: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`
    return name === '' ? String(part) : `${name}.${String(part)}`
  }, prefix)
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)
