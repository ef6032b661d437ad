import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMeasures } from '../src/measure.ts'

test('speed is jobs a second, and for a transcription seconds of recording a second', () => {
  const measures = createMeasures(() => 0)
  measures.note('embed', 0.05, { chunks: [] })
  measures.note('transcribe', 30, { duration_s: 60 })
  expect(measures.now()).toEqual({
    speeds: { embed: 20, transcribe: 2 },
    warm: ['embed', 'transcribe'],
  })
})

test('stays between the slowest and the fastest run, and follows a node that became slower', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.001, max: 100, noNaN: true }), { minLength: 1, maxLength: 50 }),
      (runs) => {
        const measures = createMeasures(() => 0)
        for (const seconds of runs) measures.note('a', seconds, {})
        const speed = measures.now().speeds.a!
        // Rounded to two digits.
        expect(speed).toBeGreaterThanOrEqual(0.94 / Math.max(...runs))
        expect(speed).toBeLessThanOrEqual(1.06 / Math.min(...runs))
        for (let i = 0; i < 50; i++) measures.note('a', 200, {})
        expect(1 / measures.now().speeds.a!).toBeGreaterThan(180)
      },
    ),
  )
})

test('an engine that ran minutes ago is not taken to be loaded, and a run of no length says nothing', () => {
  let now = 0
  const measures = createMeasures(() => now)
  measures.note('transcribe', 1, { duration_s: 0 })
  measures.note('embed', 0, {})
  expect(measures.now()).toEqual({ speeds: {}, warm: [] })
  measures.note('embed', 1, {})
  now = 6 * 60_000
  expect(measures.now()).toEqual({ speeds: { embed: 1 }, warm: [] })
})
