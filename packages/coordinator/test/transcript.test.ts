import { describe, expect, test } from 'vitest'
import { EarshotError, type Segment } from '@earshot/contract'
import { formatTranscript } from '@earshot/coordinator/http/transcript'

const segment = (start_s: number | null, end_s: number | null, text: string): Segment => ({
  start_s,
  end_s,
  text,
  confidence: null,
  words: [],
})
const document = { id: 7, title: 'talk.mp3', duration_s: 3700 }
const segments = [
  segment(0, 1.5, 'Fish & <b>chips</b>'),
  segment(2, 2, ' '),
  segment(3599.9996, 3601.25, 'one\n\ntwo --> three'),
  segment(360_000, 360_000, 'late'),
]

test('subtitles of a text without times are refused', () => {
  for (const format of ['srt', 'vtt'] as const) {
    expect(() =>
      formatTranscript({ document, segments: [segment(null, null, 'read')] }, format),
    ).toThrow(EarshotError)
  }
})

test('txt: a line a segment, no empty ones', () => {
  expect(formatTranscript({ document, segments }, 'txt')).toBe(
    'Fish & <b>chips</b>\none two --> three\nlate\n',
  )
})

test('srt: numbered cues without empty lines or arrows inside, hours beyond 99', () => {
  expect(formatTranscript({ document, segments }, 'srt')).toBe(
    '1\n00:00:00,000 --> 00:00:01,500\nFish & <b>chips</b>\n\n2\n01:00:00,000 --> 01:00:01,250\none two -> three\n\n3\n100:00:00,000 --> 100:00:00,001\nlate\n\n',
  )
})

test('vtt: markup is escaped', () => {
  expect(formatTranscript({ document, segments }, 'vtt')).toBe(
    'WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nFish &amp; &lt;b&gt;chips&lt;/b&gt;\n\n01:00:00.000 --> 01:00:01.250\none two --&gt; three\n\n100:00:00.000 --> 100:00:00.001\nlate\n\n',
  )
})

test('json: the document and its segments', () => {
  expect(
    JSON.parse(formatTranscript({ document, segments: segments.slice(0, 1) }, 'json')),
  ).toEqual({
    document: 7,
    title: 'talk.mp3',
    duration_s: 3700,
    segments: [
      { start_s: 0, end_s: 1.5, text: 'Fish & <b>chips</b>', confidence: null, words: [] },
    ],
  })
})

describe('a document without segments', () => {
  test.each([
    ['txt', ''],
    ['srt', ''],
    ['vtt', 'WEBVTT\n\n'],
  ] as const)('%s', (format, expected) => {
    expect(formatTranscript({ document, segments: [] }, format)).toBe(expected)
  })
})
