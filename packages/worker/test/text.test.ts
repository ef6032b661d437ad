import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Segment, Word } from '@earshot/contract'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { segmentsToChunks } from '../src/text/chunks.ts'
import { readParagraphs } from '../src/text/paragraphs.ts'
import { wordsToSegments } from '../src/text/segments.ts'
import { countWords } from '../src/text/words.ts'
import { errorOf, tempFolder } from './helpers/media.ts'

const dir = await tempFolder()

/** Words one after another, with the pauses between them in tenths of a second. */
const heardWords = fc
  .array(
    fc.record({
      text: fc.stringMatching(/^[a-z]{1,8}[.,]?$/),
      length: fc.integer({ min: 1, max: 9 }),
      pause: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 30 })),
    }),
    { maxLength: 400 },
  )
  .map((items) => {
    let clock = 0
    return items.map(({ text, length, pause }, i): Word => {
      const start_s = (clock + pause) / 10
      clock += pause + length
      return { text: `${i}${text}`, start_s, end_s: clock / 10, confidence: (i % 11) / 10 }
    })
  })

const readSegments = fc
  .array(fc.integer({ min: 1, max: 260 }), { maxLength: 40 })
  .map((lengths) => {
    let n = 0
    return lengths.map((length): Segment => ({
      start_s: null,
      end_s: null,
      confidence: null,
      words: [],
      text: Array.from({ length }, () => `w${n++}`).join(' '),
    }))
  })

describe('words to segments', () => {
  const word = (text: string, start_s: number, end_s: number, confidence?: number): Word => ({
    text,
    start_s,
    end_s,
    ...(confidence === undefined ? {} : { confidence }),
  })

  test('a segment ends at a pause of 0.4 s, not at 0.3 s', () => {
    const segments = wordsToSegments([word('a', 0, 1), word('b', 1.3, 2), word('c', 2.4, 3)])
    expect(segments.map(({ text, start_s, end_s }) => [text, start_s, end_s])).toEqual([
      ['a b', 0, 2],
      ['c', 2.4, 3],
    ])
  })

  test('a segment ends at a full stop', () => {
    expect(
      wordsToSegments([
        word('Yes.', 0, 1),
        word('No?"', 1, 2),
        word('3.5', 2, 3),
        word('e', 3, 4),
      ]).map(({ text }) => text),
    ).toEqual(['Yes.', 'No?"', '3.5 e'])
  })

  test('confidence is the mean of the words that have one, null when none has', () => {
    expect(
      wordsToSegments([word('a', 0, 1, 0.5), word('b', 1, 2, 1), word('c', 2, 3)])[0]?.confidence,
    ).toBe(0.75)
    expect(wordsToSegments([word('a', 0, 1)])[0]?.confidence).toBeNull()
  })

  test('no words are no segments', () => expect(wordsToSegments([])).toEqual([]))

  test('no word is lost, the order stays, no segment is over 60 words or 30 seconds, times grow', () => {
    fc.assert(
      fc.property(heardWords, (words) => {
        const segments = wordsToSegments(words)
        expect(segments.flatMap((segment) => segment.words)).toEqual(words)
        let before = 0
        for (const { start_s, end_s, text, words: own } of segments) {
          expect(text).toBe(own.map((one) => one.text).join(' '))
          expect(own.length).toBeLessThanOrEqual(60)
          expect(start_s).toBeGreaterThanOrEqual(before)
          expect((end_s ?? 0) - (start_s ?? 0)).toBeLessThanOrEqual(30)
          before = end_s ?? 0
        }
      }),
    )
  })
})

describe('segments to chunks', () => {
  const lines = (text: string) => text.split('\n')

  test('nothing gives nothing, and segments without words are left out', () => {
    expect(segmentsToChunks([])).toEqual([])
    expect(
      segmentsToChunks([{ start_s: 0, end_s: 1, text: ' ', confidence: null, words: [] }]),
    ).toEqual([])
  })

  test('no word is lost, the order stays, bounds hold, exactly one segment overlaps', () => {
    fc.assert(
      fc.property(fc.oneof(readSegments, heardWords.map(wordsToSegments)), (segments) => {
        const chunks = segmentsToChunks(segments)
        chunks.forEach(({ text }, i) => {
          expect(countWords(text)).toBeLessThanOrEqual(200)
          if (i < chunks.length - 1) expect(countWords(text)).toBeGreaterThanOrEqual(60)
          if (i > 0) expect(lines(text)[0]).toBe(lines(chunks[i - 1]?.text ?? '').at(-1))
          if (i > 0) expect(lines(text).length).toBeGreaterThan(1)
        })
        const parts = chunks.flatMap(({ text }, i) =>
          i === 0 ? lines(text) : lines(text).slice(1),
        )
        expect(parts.join(' ').split(' ').filter(Boolean)).toEqual(
          segments.flatMap(({ text }) => text.split(' ')),
        )
      }),
    )
  })

  test('chunks have the times of their segments, which grow', () => {
    fc.assert(
      fc.property(heardWords, (words) => {
        const segments = wordsToSegments(words)
        const chunks = segmentsToChunks(segments)
        expect(chunks[0]?.start_s).toBe(segments[0]?.start_s)
        expect(chunks.at(-1)?.end_s).toBe(segments.at(-1)?.end_s)
        chunks.forEach(({ start_s, end_s }, i) => {
          expect(segments.map((segment) => segment.start_s)).toContain(start_s)
          expect(segments.map((segment) => segment.end_s)).toContain(end_s)
          expect(start_s ?? 0).toBeGreaterThanOrEqual(chunks[i - 1]?.start_s ?? 0)
        })
      }),
    )
  })

  test('a segment of over 100 words is cut between its words, with their times', () => {
    const words = Array.from({ length: 250 }, (_, i): Word => ({
      text: `w${i}`,
      start_s: i,
      end_s: i + 0.9,
    }))
    const chunks = segmentsToChunks([
      {
        start_s: 0,
        end_s: 249.9,
        text: words.map(({ text }) => text).join(' '),
        confidence: null,
        words,
      },
    ])
    expect(chunks.map(({ start_s, end_s }) => [start_s, end_s])).toEqual([
      [0, 165.9],
      [83, 249.9],
    ])
  })

  test('a segment of over 100 words without word times is cut with times in proportion', () => {
    const text = Array.from({ length: 200 }, () => 'word').join(' ')
    const chunks = segmentsToChunks([
      { start_s: 10, end_s: 30, text, confidence: null, words: [] },
      { start_s: 30, end_s: 40, text: 'the end', confidence: null, words: [] },
    ])
    expect(chunks.map(({ start_s, end_s }) => [start_s, end_s])).toEqual([
      [10, 30],
      [20, 40],
    ])
  })

  test('a text written without blanks is cut by its signs', () => {
    const text = '東京は日本の首都です。'.repeat(60)
    const chunks = segmentsToChunks([
      { start_s: null, end_s: null, text, confidence: null, words: [] },
    ])
    expect(chunks.length).toBeGreaterThan(2)
    expect(chunks.flatMap((chunk, i) => lines(chunk.text).slice(i === 0 ? 0 : 1)).join('')).toBe(
      text,
    )
  })
})

describe('a text file', () => {
  const read = async (content: string | Uint8Array) => {
    const file = path.join(dir, 'text.txt')
    await writeFile(file, content)
    return (await readParagraphs(file)).map(({ text }) => text)
  }
  const utf16 = (text: string, big: boolean) => {
    const bytes = Buffer.from(`\ufeff${text}`, 'utf16le')
    return big ? bytes.swap16() : bytes
  }

  test('empty or blank is said to be empty', async () => {
    for (const content of ['', ' \n\t\r\n ', '\ufeff'])
      expect(await errorOf(read(content))).toMatchObject({ code: 'EARSHOT_MEDIA_EMPTY' })
  })

  test('binary is refused', async () => {
    for (const content of [
      Uint8Array.from([80, 75, 3, 4, 0, 0, 1]),
      Uint8Array.from({ length: 3000 }, (_, i) => (i * 7919) % 256),
      Uint8Array.from({ length: 300 }, (_, i) => 1 + (i % 9)),
    ]) {
      expect(await errorOf(read(content))).toMatchObject({ code: 'EARSHOT_MEDIA_UNREADABLE' })
    }
  })

  test('over 20 MiB is refused', async () => {
    expect(await errorOf(read(new Uint8Array(20 * 2 ** 20 + 1).fill(97)))).toMatchObject({
      code: 'EARSHOT_TOO_LARGE',
      message: 'The text has 21 MiB; up to 20 MiB are read.',
    })
  })

  test('that takes long stops nothing else, and is given up when its time is over', async () => {
    const file = path.join(dir, 'long.txt')
    await writeFile(file, '. '.repeat(2_000_000))
    let turns = 0
    const turning = setInterval(() => (turns += 1), 1)
    const reading = readParagraphs(file)
    expect(await reading).toHaveLength(20_000)
    clearInterval(turning)
    expect(turns).toBeGreaterThan(20)
    expect(await errorOf(readParagraphs(file, { limitMs: 1 }))).toMatchObject({
      code: 'EARSHOT_MEDIA_UNREADABLE',
      message: 'The text could not be read within 0.001 s.',
    })
  })

  test('of a job that is over is no longer read', async () => {
    const over = new AbortController()
    const file = path.join(dir, 'over.txt')
    await writeFile(file, '. '.repeat(2_000_000))
    const reading = readParagraphs(file, { signal: over.signal })
    over.abort(new Error('over'))
    await expect(reading).rejects.toThrow('over')
  })

  test('of more than 500,000 paragraphs is refused', async () => {
    expect(await errorOf(read('a\n\n'.repeat(500_001)))).toMatchObject({
      code: 'EARSHOT_TOO_LARGE',
      message: 'The text has 500001 paragraphs; up to 500000 are read.',
    })
  })

  test.each([
    ['UTF-8', Buffer.from('Grüße, 東京')],
    ['UTF-8 with a mark', Buffer.from('\ufeffGrüße, 東京')],
    ['UTF-16', utf16('Grüße, 東京', false)],
    ['big-endian UTF-16', utf16('Grüße, 東京', true)],
  ])('%s is read', async (_, bytes) => expect(await read(bytes)).toEqual(['Grüße, 東京']))

  test('what is not UTF-8 is read as Windows-1252', async () => {
    expect(await read(Uint8Array.from([0x93, 0x47, 0x72, 0xfc, 0xdf, 0x65, 0x94]))).toEqual([
      '“Grüße”',
    ])
  })

  test.each(['\n', '\r\n', '\r'])(
    'paragraphs are parted by empty lines, lines end in %j',
    async (end) => {
      expect(await read(['One', ' one.', '', '  ', '', 'Two.', ''].join(end))).toEqual([
        'One one.',
        'Two.',
      ])
    },
  )

  test('a long paragraph is cut at ends of sentences, a long sentence between words, and no word is lost', async () => {
    const sentence = (n: number, length: number) =>
      `${Array.from({ length: length - 1 }, (_, i) => `w${n}x${i}`).join(' ')} end${n}.`
    const text = [sentence(1, 60), sentence(2, 60), sentence(3, 250), sentence(4, 5)].join(' ')
    const segments = await read(text)
    expect(segments.slice(0, 2)).toEqual([sentence(1, 60), sentence(2, 60)])
    expect(segments.join(' ')).toBe(text)
    expect(Math.max(...segments.map(countWords))).toBeLessThanOrEqual(100)
  })
})
