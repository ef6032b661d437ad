import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { check } from 'recheck'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

test('every pattern in the code is matched in linear time', { timeout: 300_000 }, async () => {
  const patterns = sources().flatMap((file) => [...patternsIn(readFileSync(file, 'utf8'))])
  expect(patterns.length).toBeGreaterThan(150)
  expect(patterns).toContainEqual({ source: '^Bearer (.+)$', flags: 'i' })
  const verdicts = await Promise.all(
    [...new Map(patterns.map((one) => [`/${one.source}/${one.flags}`, one]))].map(
      async ([written, { source, flags }]) => ({
        written,
        ...(await check(source, flags, { timeout: 10_000 })),
      }),
    ),
  )
  expect(
    verdicts
      .filter(({ status }) => status === 'vulnerable')
      .map(
        (one) => `${one.written}: ${'complexity' in one ? one.complexity?.summary : one.status}`,
      ),
  ).toEqual([])
})

test('a pattern that is not linear would be found', async () => {
  for (const source of ['^(a+)+$', '\\s+$'])
    expect((await check(source, '')).status).toBe('vulnerable')
})

function sources(): string[] {
  const packages = readdirSync(join(ROOT, 'packages')).map((name) =>
    join(ROOT, 'packages', name, 'src'),
  )
  return [...packages, join(ROOT, 'launcher')].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(ts|mjs)$/.test(file))
      .map((file) => join(folder, file)),
  )
}

type Pattern = { source: string; flags: string }

/** A slash begins a pattern after these, and divides after a value. */
const BEFORE_PATTERN = /(?:[=(,:;!&|?{}[]|=>|\breturn|\bcase)$/

/**
 * The patterns that stand in code, as literals; what stands in comments, strings and templates is
 * passed over.
 */
function* patternsIn(code: string): Generator<Pattern> {
  let before = ''
  for (let at = 0; at < code.length;) {
    const rest = code.slice(at)
    const skipped = /^(?:\/\/[^\n]*|\/\*[^]*?\*\/|\s+)/.exec(rest)?.[0]
    if (skipped !== undefined) {
      at += skipped.length
      continue
    }
    const text = /^(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[^])*`)/.exec(rest)?.[0]
    const [pattern, source = '', flags = ''] = BEFORE_PATTERN.test(before)
      ? (/^\/((?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)\/([a-z]*)/.exec(rest) ?? [])
      : []
    if (pattern !== undefined) yield { source, flags: flags.replace('d', '') }
    if (text?.startsWith('`'))
      for (const [, inside = ''] of text.matchAll(/\$\{([^`]*?)\}/g))
        yield* patternsIn(`(${inside}`)
    const token = pattern ?? text ?? /^(?:\w+|=>|.)/s.exec(rest)![0]
    before = (before + (pattern === undefined ? token : ')')).slice(-12)
    at += token.length
  }
}
