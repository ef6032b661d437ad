import { expect, test } from 'vitest'
import { checkJson } from '../src/http/json-body.ts'

const check = (text: string, partBytes?: number) => () => checkJson(Buffer.from(text), partBytes)
const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)

test('levels are counted, and not those inside texts', () => {
  expect(check(deep(100))).not.toThrow()
  expect(check(deep(101))).toThrow('deeper than 100')
  expect(check(`["${'['.repeat(500)}", "\\"${'{'.repeat(500)}"]`)).not.toThrow()
  expect(check(`[${'[],'.repeat(500)}1]`)).not.toThrow()
})

test('entries are counted, in objects, lists, and many small ones', () => {
  const keys = (many: number) => `{${Array.from({ length: many }, (_, n) => `"${n}":1`).join(',')}}`
  expect(check(keys(99_999))).not.toThrow()
  expect(check(keys(100_001))).toThrow('more than 100000 entries')
  expect(check(`[${'{},'.repeat(60_000)}1]`)).toThrow('entries')
  expect(check(`["${','.repeat(200_000)}"]`)).not.toThrow()
})

test('a part is measured, and a list of parts is not', () => {
  const part = `{"text":"${'x'.repeat(80)}"}`
  expect(check(`{"jobs":[${part},${part},${part}]}`, 100)).not.toThrow()
  expect(check(`{"jobs":[${part}]}`, 50)).toThrow('over 50 bytes')
  expect(check(`{"kind":"${'x'.repeat(80)}"}`, 50)).toThrow('over 50 bytes')
  expect(check(`{"jobs":[{"a":{"b":1},"c":[${'1,'.repeat(50)}1]}]}`, 60)).toThrow('over 60 bytes')
})

test('what is no JSON passes: the parser says what is wrong with it', () => {
  for (const text of ['', ']]]', '{"a', '"\\', '[}', 'nonsense']) expect(check(text)).not.toThrow()
})
