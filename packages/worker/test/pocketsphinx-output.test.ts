import { describe, expect, test } from 'vitest'
import { parseLine08, parseLine5 } from '../src/engines/pocketsphinx-output.ts'

/** Printed by pocketsphinx_continuous 0.8+5prealpha (Debian 12) with -time yes. */
const PRINTED_0_8 = `please bring the green and relatives station
<s> 6.090 6.160 0.999900
please 6.170 6.530 0.999900
bring 6.540 6.830 0.970345
the(2) 6.840 6.920 0.483026
green 6.930 7.360 0.946290
<sil> 7.361 7.362 0.979119
[NOISE] 7.363 7.364 0.979119
station 8.050 8.710 1.000100
</s> 8.720 9.050 1.000000`

/** Printed by pocketsphinx 5.1.1 (Debian 14), command live. */
const PRINTED_5 =
  '{"b":6.180,"d":2.730,"p":0.098,"t":"please bring the green umbrella to the station","w":[{"b":6.180,"d":0.030,"p":1.000,"t":"<s>"},{"b":6.210,"d":0.320,"p":1.000,"t":"please"},{"b":6.530,"d":0.300,"p":0.998,"t":"bring"},{"b":6.830,"d":0.090,"p":0.508,"t":"the(2)"},{"b":8.710,"d":0.190,"p":1.000,"t":"</s>"}]}'

describe('0.8', () => {
  test('words with times and confidences within 0 and 1; no marks, fillers, sentences', () => {
    expect(PRINTED_0_8.split('\n').flatMap(parseLine08)).toEqual([
      { text: 'please', start_s: 6.17, end_s: 6.54, confidence: 0.9999 },
      { text: 'bring', start_s: 6.54, end_s: 6.84, confidence: 0.970345 },
      { text: 'the', start_s: 6.84, end_s: 6.93, confidence: 0.483026 },
      { text: 'green', start_s: 6.93, end_s: 7.37, confidence: 0.94629 },
      { text: 'station', start_s: 8.05, end_s: 8.72, confidence: 1 },
    ])
  })

  test('an utterance of which nothing was understood is an empty line', () => {
    expect(parseLine08('')).toEqual([])
  })
})

describe('5.x', () => {
  test('words with times and confidences; no marks', () => {
    expect(
      parseLine5(PRINTED_5).map(({ text, start_s, end_s }) => [
        text,
        start_s,
        Number(end_s.toFixed(3)),
      ]),
    ).toEqual([
      ['please', 6.21, 6.53],
      ['bring', 6.53, 6.83],
      ['the', 6.83, 6.92],
    ])
  })

  test('an utterance of which nothing was understood has no words', () => {
    expect(parseLine5('{"b":0.000,"d":0.500,"p":1.000,"t":"","w":[]}')).toEqual([])
  })

  test.each(['bla bla', '{"b":0}', '{"w":[{"t":1}]}'])('%s is no result', (line) => {
    expect(() => parseLine5(line)).toThrow()
  })
})
