import { open, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AudioPiece, piecesOf } from '../src/audio/pieces.ts'
import { BYTES_PER_S, HEADER_BYTES, wavHeader } from '../src/audio/wav.ts'
import type { SpeechToText } from '../src/engines/engine.ts'
import { createSerialQueue } from '../src/engines/serial-queue.ts'
import { findBuild } from '../src/engines/whisper-build.ts'
import { type WhisperProcess, startWhisper } from '../src/engines/whisper-process.ts'
import { segmentsOf, wordsOf } from '../src/engines/whisper-words.ts'
import { createWhisper } from '../src/engines/whisper.ts'
import { judge } from '../src/verdict.ts'
import { thrownBy } from './helpers/engine-server.ts'
import { tempFolder } from './helpers/media.ts'
import { writeEmptyModel } from './helpers/whisper-model.ts'

const { signal } = new AbortController()
const home = await tempFolder()
const wav = path.join(home, 'audio.wav')
const tone = (seconds: number) =>
  Buffer.from(
    Int16Array.from({ length: seconds * 16_000 }, (_, i) => 8000 * Math.sin(i / 7)).buffer,
  )

describe('whisper.cpp, without what it needs', () => {
  test('a box without a model says so, and how to get one', async () => {
    expect(await createWhisper({ home: path.join(home, 'empty') }).probe()).toEqual({
      available: false,
      reason: 'There is no model for whisper.cpp.',
      missing: 'whisper-model',
    })
  })

  test('a file that only looks like a model is none, nor is one on its way', async () => {
    const other = path.join(home, 'other')
    const file = await writeEmptyModel(other)
    await writeFile(file, '<html>not found</html>')
    await writeFile(`${file}.part`, 'x')
    expect(await createWhisper({ home: other }).models()).toEqual([])
  })

  test('a build that was asked for and is not installed is not replaced by another', async () => {
    expect(await findBuild({ home, wanted: 'cuda' })).toMatch(
      /^The cuda build of whisper\.cpp is not installed\. Run: npm install --prefix .+engines @fugood\/node-whisper-\w+-\w+-cuda$/,
    )
  })
})

const native = await findBuild({ home, wanted: 'cpu' })
describe.skipIf(typeof native === 'string')('whisper.cpp', () => {
  let whisper: SpeechToText
  beforeAll(async () => {
    await writeFile(wav, Buffer.concat([wavHeader(BYTES_PER_S), tone(1)]))
    await writeEmptyModel(home, 'empty.en')
    await writeEmptyModel(home, 'empty', { multilingual: true })
    whisper = createWhisper({ home, whisperBuild: 'cpu' })
  })
  afterAll(() => whisper.close?.())
  const hear = (more: object = {}) =>
    whisper.transcribe({ wav, duration_s: 1, model: 'whisper-empty.en', signal, ...more })

  test('says which build it runs, and which models there are', async () => {
    expect(await whisper.probe()).toEqual({ available: true, version: 'cpu' })
    expect((await whisper.models()).map(({ name, aliases }) => [name, aliases])).toEqual(
      expect.arrayContaining([
        ['whisper-empty.en', ['empty.en']],
        ['whisper-empty', ['empty']],
      ]),
    )
  })

  test.each([
    ['another language of an English model', { language: 'de' }, 'language'],
    ['a translation by an English model', { translate: true }, 'translate'],
  ])('%s is refused', async (_, wish, field) => {
    expect(await thrownBy(hear(wish))).toMatchObject({ code: 'EARSHOT_BAD_REQUEST', field })
  })

  test('a model without weights hears nothing, one after the other, and stays loaded', async () => {
    const [one, two] = await Promise.all([hear(), hear()])
    expect([one, two]).toEqual([
      { words: [], segments: [], language: 'en' },
      { words: [], segments: [], language: 'en' },
    ])
    expect((await whisper.models()).find(({ name }) => name === 'whisper-empty.en')).toMatchObject({
      loaded: true,
    })
  })

  test('an abort ends the native work at once; the next recording is heard all the same', async () => {
    const abort = new AbortController()
    const reason = new Error('cancelled')
    const work = hear({ signal: abort.signal })
    setImmediate(() => abort.abort(reason))
    await expect(work).rejects.toBe(reason)
    expect(await hear()).toMatchObject({ segments: [] })
  })

  test("a model file that is damaged is the node's matter", async () => {
    const handle = await open(await writeEmptyModel(home, 'bad.en'), 'r+')
    // No such type of numbers.
    await handle.write(Buffer.from(Int32Array.from([999]).buffer), 0, 4, 44)
    await handle.close()
    const thrown = await thrownBy(hear({ model: 'whisper-bad.en' }))
    expect(judge(thrown)).toMatchObject({
      outcome: { error: { code: 'EARSHOT_ENGINE_MISSING', verdict: 'node' } },
    })
  })

  test('a failure in native code, of which the module tells nobody, is told', async () => {
    await writeEmptyModel(home, 'odd.en', { vocabulary: false })
    expect(await thrownBy(hear({ model: 'whisper-odd.en' }))).toMatchObject({
      code: 'EARSHOT_ENGINE_FAILED',
      message: expect.stringContaining('gave up'),
    })
  })

  describe('in its own process', () => {
    const start = async (quietLimitS = 60): Promise<WhisperProcess> =>
      startWhisper(
        {
          native: (native as { native: string }).native,
          build: 'cpu',
          model: await writeEmptyModel(home, 'empty.en'),
        },
        { quietLimitS, signal },
      )
    const hearing = { wav, from: HEADER_BYTES, bytes: BYTES_PER_S, options: { language: 'en' } }

    test.skipIf(process.platform === 'win32')(
      'a crash on the way costs this job, with its cause',
      async () => {
        const whisper = await start()
        const work = thrownBy(whisper.hear(hearing, signal))
        process.kill(whisper.pid, 'SIGSEGV')
        expect(await work).toMatchObject({
          code: 'EARSHOT_ENGINE_FAILED',
          message: 'whisper.cpp was ended by SIGSEGV.',
        })
        expect(whisper.over).toBe(true)
      },
    )

    test.skipIf(process.platform === 'win32')('one that hangs is killed', async () => {
      const whisper = await start(1)
      process.kill(whisper.pid, 'SIGSTOP')
      expect(await thrownBy(whisper.hear(hearing, signal))).toMatchObject({
        code: 'EARSHOT_ENGINE_FAILED',
        message: expect.stringContaining('no sign of life for 1 s'),
      })
      expect(whisper.over).toBe(true)
    })
  })
})

test('a recording is cut where it is quietest, and nothing is lost', async () => {
  const samples = tone(10)
  samples.fill(0, 3.6 * BYTES_PER_S, 4 * BYTES_PER_S)
  const file = path.join(home, 'long.wav')
  await writeFile(file, Buffer.concat([wavHeader(samples.length), samples]))
  const pieces: AudioPiece[] = []
  for await (const piece of piecesOf(file, HEADER_BYTES + samples.length, 5)) pieces.push(piece)
  expect(pieces[0]).toMatchObject({ from: HEADER_BYTES, start_s: 0 })
  expect(pieces[1]!.start_s).toBeGreaterThan(3.6)
  expect(pieces[1]!.start_s).toBeLessThan(4)
  expect(pieces.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(samples.length)
  expect(
    pieces.every(
      ({ from, bytes }) => from % 2 === 0 && bytes % 2 === 0 && bytes <= 5 * BYTES_PER_S,
    ),
  ).toBe(true)
  pieces.reduce((end, { from, bytes }) => {
    expect(from).toBe(end)
    return from + bytes
  }, HEADER_BYTES)
})

describe("words of whisper's tokens", () => {
  const at = { startS: 600, endS: 601.2 }

  test('begin at a space, keep their punctuation, and lie within their piece', () => {
    const tokens = [
      [' Hel', 0, 300],
      ['lo', 300, 500],
      [',', 500, 500],
      [' there', 700, 1500],
      ['.', 1500, 30_000],
      ['[BLANK_AUDIO]', 0, 0],
    ] as const
    expect(
      wordsOf(
        tokens.map(([text, t0, t1]) => ({ text, t0, t1 })),
        { ...at, language: 'en' },
      ),
    ).toEqual([
      { text: 'Hello,', start_s: 600, end_s: 600.5 },
      { text: 'there.', start_s: 600.7, end_s: 601.2 },
    ])
  })

  test('leave out what is no speech, which comes in several tokens, and nothing else', () => {
    const said = (tokens: string[]) =>
      wordsOf(
        tokens.map((text, i) => ({ text, t0: i * 10, t1: i * 10 + 10 })),
        { ...at, language: 'en' },
      )
        .map(({ text }) => text)
        .join(' ')
    expect(said([' [', 'BL', 'ANK', '_', 'AUDIO', ']'])).toBe('')
    expect(said([' (', 'up', 'beat', ' music', ')', ' Hello', '.', ' [', 'MUSIC', ']'])).toBe(
      'Hello.',
    )
    expect(said([' (', 'never', ' closed'])).toBe('(never closed')
  })

  test('of languages whose characters may be several tokens stay in whole segments', () => {
    expect(
      segmentsOf(
        [
          { text: '東京です。', t0: 0, t1: 900 },
          { text: '[音楽]', t0: 900, t1: 1000 },
        ],
        at,
      ),
    ).toEqual([{ start_s: 600, end_s: 600.9, text: '東京です。', confidence: null, words: [] }])
  })

  test('are single tokens in languages that put no space between words', () => {
    expect(
      wordsOf(
        [
          { text: '東', t0: 0, t1: 100 },
          { text: '京', t0: 100, t1: 200 },
        ],
        { ...at, language: 'ja' },
      ).map(({ text }) => text),
    ).toEqual(['東', '京'])
  })
})

test('who is aborted while waiting for a turn leaves, and holds up nobody', async () => {
  const serialQueue = createSerialQueue()
  const first = Promise.withResolvers<void>()
  const order: string[] = []
  const one = serialQueue.take(
    signal,
    () => {},
    async () => {
      await first.promise
      order.push('one')
    },
  )
  const abort = new AbortController()
  const two = serialQueue.take(
    abort.signal,
    () => {},
    async () => {
      order.push('two')
    },
  )
  const three = serialQueue.take(
    signal,
    () => {},
    async () => {
      order.push('three')
    },
  )
  abort.abort(new Error('gone'))
  await expect(two).rejects.toThrow('gone')
  first.resolve()
  await Promise.all([one, three])
  expect(order).toEqual(['one', 'three'])
})
