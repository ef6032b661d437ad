import pg from 'pg'
import { EarshotError } from '@earshot/contract'

const { builtins, getTypeParser } = pg.types
/** Known to node-postgres, though not to its types. */
const INT8_ARRAY: number = 1016

function int8(text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number)) return number
  // Lane keys and fences use all 64 bits; rounding them would match the wrong row.
  throw new EarshotError(
    'EARSHOT_INTERNAL',
    `The bigint ${text} does not fit a JavaScript number.`,
    {
      hint: 'Select it as text: column::text',
    },
  )
}

const strings: (text: string) => (string | null)[] = getTypeParser(
  INT8_ARRAY as typeof builtins.INT8,
  'text',
)

/**
 * Type parsers of Earshot's own pools: bigint becomes a number (and throws where digits would be
 * lost). Set on the pool and not globally, so that an application which shares the `pg` module
 * keeps its own.
 */
export const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: string) => {
    if (format === 'binary') return getTypeParser(oid, 'binary')
    if (oid === builtins.INT8) return int8
    if (oid === INT8_ARRAY)
      return (text: string) => strings(text).map((item) => (item === null ? null : int8(item)))
    return getTypeParser(oid, 'text')
  },
}
