import fc from 'fast-check'
import { expect, test } from 'vitest'
import { linesOf } from '../src/lines.ts'

async function* piecesOf(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
const all = async (lines: AsyncIterable<string>) => {
  const read: string[] = []
  for await (const line of lines) read.push(line)
  return read
}

test('lines are the same however they are cut, and whatever stands in them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: fc.constantFrom('a', '\r', 'ü', '🎧', '\u2028', ' ') }), {
        maxLength: 8,
      }),
      fc.integer({ min: 1, max: 9 }),
      async (lines, size) => {
        const text = lines.join('\n')
        const expected = text.split('\n').map((line) => line.replace(/\r$/, ''))
        if (expected.at(-1) === '') expected.pop()
        expect(await all(linesOf(piecesOf(text, size)))).toEqual(expected)
      },
    ),
  )
})

test('a line that is too long is refused before it is whole, the ones before it are read', async () => {
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('first\nsec')
    for (;;) yield Buffer.alloc(7, 'x')
  }
  const lines = linesOf(endless(), { longest: 20 })
  expect((await lines.next()).value).toBe('first')
  await expect(lines.next()).rejects.toMatchObject({ code: 'EARSHOT_TOO_LARGE' })
})

test('a long line costs no more than its length', async () => {
  const [line] = await all(linesOf(piecesOf(`${'x'.repeat(8 * 2 ** 20)}\n`, 1024)))
  expect(line).toHaveLength(8 * 2 ** 20)
})
