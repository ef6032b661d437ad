import { EarshotError } from '@earshot/shared/contract'
import { z } from 'zod'

/**
 * Reads a part of a request by its schema.
 *
 * @param prefix where the value stands in the request, for the error's `field`
 * @throws EarshotError EARSHOT_BAD_REQUEST whose `field` is the first one that is wrong
 * @example
 * parse(z.object({ limit: z.coerce.number() }), { limit: 'x' }) // throws, field 'limit'
 */
export function parse<S extends z.ZodType>(schema: S, value: unknown, prefix = ''): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  if (issue === undefined) throw new EarshotError('EARSHOT_BAD_REQUEST', 'The request is wrong.')
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const field = fieldName(prefix, unknown === undefined ? issue.path : [...issue.path, unknown])
  const sentence = unknown === undefined ? `"${field}" is wrong: ${lowerFirst(issue.message)}.` : `There is no field "${field}".`
  throw new EarshotError('EARSHOT_BAD_REQUEST', field === '' ? `The body is wrong: ${lowerFirst(issue.message)}.` : sentence, field === '' ? {} : { field })
}

/** `jobs`, 3, `payload` becomes `jobs[3].payload`. */
function fieldName(prefix: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`
    return name === '' ? String(part) : `${name}.${String(part)}`
  }, prefix)
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

/** A whole number above 0 that a JSON number carries, from a path or query. */
export const IdText = z.string().regex(/^[1-9]\d{0,15}$/, 'expected a whole number above 0').transform(Number)

/** A list with commas, `a,b`, as an array without doubles. */
export const listOf = <S extends z.ZodType<unknown, string>>(item: S, most: number) =>
  z.string().transform((text) => [...new Set(text.split(','))] as z.input<S>[]).pipe(z.array(item).min(1).max(most))

/** How many rows to give: 1 to `most`. */
export const limitOf = (most: number, usual: number) => z.coerce.number().int().min(1).max(most).default(usual)

/** The id in a path. @throws EarshotError EARSHOT_BAD_REQUEST, field `id`. */
export function idOf(params: unknown): number {
  return parse(z.object({ id: IdText }), params).id
}
