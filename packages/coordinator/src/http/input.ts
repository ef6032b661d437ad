import { parse } from '@earshot/contract'
import { z } from 'zod'

export { parse }

/** A whole number above 0 that a JSON number carries, from a path or query. */
export const IdText = z
  .string()
  .regex(/^[1-9]\d{0,15}$/, 'expected a whole number above 0')
  .transform(Number)

/** A list with commas, `a,b`, as an array without doubles. */
export const listOf = <S extends z.ZodType<unknown, string>>(item: S, most: number) =>
  z
    .string()
    .transform((text) => [...new Set(text.split(','))] as z.input<S>[])
    .pipe(z.array(item).min(1).max(most))

/** How many rows to give: 1 to `most`. */
export const limitOf = (most: number, usual: number) =>
  z.coerce.number().int().min(1).max(most).default(usual)

/** The id in a path. @throws EarshotError EARSHOT_BAD_REQUEST, field `id`. */
export function idOf(params: unknown): number {
  return parse(z.object({ id: IdText }), params).id
}
