import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cosine, embedLexical, LEXICAL_DIMENSIONS, SIMILARITY_FLOOR } from '@earshot/shared/lexical'

const alike = (a: string, b: string): number => cosine(embedLexical(a), embedLexical(b))

test('every text, in any script or none, is a unit vector, the same each time', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => {
      const vector = embedLexical(text)
      expect(vector).toHaveLength(LEXICAL_DIMENSIONS)
      expect(cosine(vector, vector)).toBeCloseTo(1, 4)
      expect(embedLexical(text)).toEqual(vector)
    }),
  )
})

test('texts without letters are all the same and unlike any other', () => {
  expect(alike('', '!? …')).toBe(1)
  expect(alike('', 'harbour')).toBe(0)
})

test('the vectors are those that are already in databases', () => {
  // A change here makes every stored vector worthless: it needs another LEXICAL_MODEL.
  const vector = embedLexical('The green harbour, Ærø and 東京')
  const largest = Array.from(vector, (value, at) => ({ at, value: Number(value.toFixed(5)) }))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value) || a.at - b.at)
    .slice(0, 4)
  expect(largest).toEqual([
    { at: 211, value: -0.23197 },
    { at: 236, value: -0.20424 },
    { at: 51, value: -0.18958 },
    { at: 227, value: -0.18958 },
  ])
})

test('case, marks and the form of an apostrophe do not count', () => {
  expect(alike("Don't stop, Çeşme!", 'don’t stop cesme')).toBeCloseTo(1, 5)
})

test.each([
  ['harbour', 'harbours'],
  ['transcription', 'transcriptions'],
  ['東京タワーの夜景', '東京タワー'],
  ['please bring the green umbrella', 'a green umbrella, please'],
])('%s and %s pass the floor', (a, b) => expect(alike(a, b)).toBeGreaterThan(SIMILARITY_FLOOR))

test.each([
  ['xylophone', 'please bring the green umbrella to the station'],
  ['zebra crossing', 'the weather report says rain in the morning'],
  ['money', 'our company will build a new factory next year'],
  ['東京', 'harbour'],
  ['大阪', '東京タワーの夜景'],
])('%s and %s do not', (a, b) => expect(alike(a, b)).toBeLessThan(SIMILARITY_FLOOR))
