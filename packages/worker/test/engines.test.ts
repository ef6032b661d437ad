import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Word } from '@earshot/contract'
import { decode } from '../src/audio/decode.ts'
import { createEspeak } from '../src/engines/espeak.ts'
import { createFlite, toSayable } from '../src/engines/flite.ts'
import { findEngines } from '../src/engines/find.ts'
import { probeEngines } from '../src/engines/index.ts'
import { createPiper } from '../src/engines/piper.ts'
import { createPocketsphinx } from '../src/engines/pocketsphinx.ts'
import type { Engines } from '../src/engines/registry.ts'
import { wordsToSegments } from '../src/text/segments.ts'
import { errorOf, makeMedia, silence, tempFolder } from './helpers/media.ts'

const dir = await tempFolder()
const at = (name: string) => path.join(dir, name)
const { signal } = new AbortController()
const flite = createFlite()
const pocketsphinx = createPocketsphinx()
const hasEspeak = (await createEspeak().probe()).available

/** Said with these many seconds of silence before each. */
const SAID = [
  { gap: 1, text: 'the weather report says rain in the morning' },
  { gap: 3, text: 'please send the money to the hospital today' },
  { gap: 9, text: 'our company will build a new factory next year' },
]
let starts: number[]
let recording: string

beforeAll(async () => {
  const parts: string[] = []
  starts = []
  let clock = 0
  for (const [i, { gap, text }] of SAID.entries()) {
    const { duration_s } = await flite.speak({ text, out: at(`said${i}.wav`), signal })
    starts.push(clock + gap)
    clock += gap + duration_s
    parts.push('-i', at(`said${i}.wav`))
  }
  const delayed = SAID.map(({ gap }, i) => `[${i}]adelay=${gap * 1000}[p${i}]`).join(';')
  recording = await makeMedia(
    ...parts,
    '-filter_complex',
    `${delayed};[p0][p1][p2]concat=n=3:v=0:a=1`,
    '-c:a',
    'libmp3lame',
    '-b:a',
    '96k',
    at('said.mp3'),
  )
})

async function hear(
  file: string,
): Promise<{ words: Word[]; duration_s: number; fractions: number[] }> {
  const wav = `${file}.wav`
  const { duration_s } = await decode({ file, out: wav })
  const fractions: number[] = []
  const { words } = await pocketsphinx.transcribe({
    wav,
    duration_s,
    signal,
    onProgress: (fraction) => fractions.push(fraction),
  })
  return { words, duration_s, fractions }
}

describe('hearing', () => {
  test('what flite says is heard: most words, at the right second, in three segments', async () => {
    const { words, duration_s, fractions } = await hear(recording)
    const heard = words.map(({ text }) => text)
    const said = SAID.flatMap(({ text }) => text.split(' '))
    expect(said.filter((word) => heard.includes(word)).length / said.length).toBeGreaterThan(0.8)
    for (const telling of ['weather', 'morning', 'money', 'hospital', 'company', 'factory'])
      expect(heard).toContain(telling)

    // flite begins a sentence with about 0.2 s of silence.
    const segments = wordsToSegments(words)
    expect(segments).toHaveLength(3)
    segments.forEach(({ start_s, confidence }, i) => {
      expect(Math.abs((start_s ?? 0) - (starts[i] ?? 0) - 0.15)).toBeLessThan(0.3)
      expect(confidence).toBeGreaterThan(0)
      expect(confidence).toBeLessThanOrEqual(1)
    })
    expect(
      words.every(
        ({ start_s, end_s }, i) =>
          start_s <= end_s && start_s >= (words[i - 1]?.end_s ?? 0) && end_s <= duration_s,
      ),
    ).toBe(true)
    expect(words.every(({ text }) => /^[a-z']+$/.test(text))).toBe(true)

    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b))
    expect(fractions.at(-1)).toBe(1)
    expect((await readdir(dir)).filter((name) => name.includes('utterances'))).toEqual([])
  })

  test('an hour of silence in little space has no words', async () => {
    const file = await makeMedia(...silence(3_600), at('silence.flac'))
    expect((await stat(file)).size).toBeLessThan(700_000)
    const { words, duration_s } = await hear(file)
    expect(words).toEqual([])
    expect(duration_s).toBeCloseTo(3_600, 0)
  })

  test('an abort ends the recogniser, throws the reason and leaves no file behind', async () => {
    const wav = at('long.wav')
    await makeMedia('-stream_loop', '20', '-i', recording, '-ac', '1', '-ar', '16000', wav)
    const abort = new AbortController()
    const reason = new Error('lease lost')
    await expect(
      pocketsphinx.transcribe({
        wav,
        duration_s: 400,
        signal: abort.signal,
        onProgress: () => abort.abort(reason),
      }),
    ).rejects.toBe(reason)
    expect(existsSync(`${wav}.utterances.wav`)).toBe(false)
  })

  test.runIf(process.platform !== 'win32')(
    'a recogniser that crashes, or babbles, has failed, and its last words are told',
    async () => {
      await decode({ file: recording, out: at('fail.wav') })
      const program = async (name: string, script: string) => {
        // Not by naming Node in the first line: that line knows no quoting, and this Node's path
        // may have a space in it.
        await writeFile(`${at(name)}.cjs`, script)
        await writeFile(at(name), `#!/bin/sh\nexec "${process.execPath}" "${at(name)}.cjs" "$@"\n`)
        await chmod(at(name), 0o755)
        return createPocketsphinx({
          programs: {
            pocketsphinx: at(name),
            pocketsphinx_continuous: '/nowhere/pocketsphinx_continuous',
          },
        })
      }
      const wellAtFirst = (then: string) =>
        `const fs = require('fs'); if (fs.statSync(process.argv[3]).size > 50000) { ${then} }`
      const crashing = await program(
        'crash.cjs',
        wellAtFirst('console.error("segment of doom"); process.exit(9)'),
      )
      expect(await crashing.probe()).toEqual({ available: true, version: '5' })
      expect(
        await errorOf(crashing.transcribe({ wav: at('fail.wav'), duration_s: 20, signal })),
      ).toMatchObject({
        code: 'EARSHOT_ENGINE_FAILED',
        message: 'crash.cjs ended with exit code 9; its last words: segment of doom',
      })
      const babbling = await program('babble.cjs', wellAtFirst('console.log("bla bla")'))
      expect(
        await errorOf(babbling.transcribe({ wav: at('fail.wav'), duration_s: 20, signal })),
      ).toMatchObject({
        code: 'EARSHOT_ENGINE_FAILED',
        message: expect.stringContaining('bla bla'),
      })
    },
  )
})

describe('speaking', () => {
  test('an unknown voice is refused, with the voices there are', async () => {
    expect(
      await errorOf(flite.speak({ text: 'hello', voice: 'nobody', out: at('no.wav'), signal })),
    ).toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      message: 'There is no voice "nobody".',
      hint: expect.stringContaining('slt'),
    })
  })

  test('a text without a word that English could speak is refused', async () => {
    expect(
      await errorOf(flite.speak({ text: '… 🎉 东京!', out: at('no.wav'), signal })),
    ).toMatchObject({ code: 'EARSHOT_BAD_REQUEST' })
  })

  test.each([undefined, 'kal'])(
    'voice %s gives 16 kHz mono of the length that is told',
    async (voice) => {
      const { duration_s } = await flite.speak({
        text: 'One small step.\n\n$(touch pwned) -o /tmp/x',
        voice,
        out: at('spoken.wav'),
        signal,
      })
      expect(duration_s).toBeGreaterThan(1)
      expect(
        (await decode({ file: at('spoken.wav'), out: at('again.wav') })).duration_s,
      ).toBeCloseTo(duration_s, 2)
    },
  )

  test('letters with marks are spoken without them', () => {
    expect(toSayable('Café “Zoë” – naïve…')).toBe('Cafe "Zoe" ,  naive...')
  })

  test('letters and signs that English lacks are spelled out', () => {
    expect(toSayable('Straße Łódź Ærø £5 3€').replace(/ +/g, ' ')).toBe(
      'Strasse Lodz Aero 5 pounds 3 euros ',
    )
  })
})

const kindsOf = ({ serving }: Engines) =>
  [...new Set(serving.map(({ engine }) => engine.kind))].sort()

describe('speaking with eSpeak NG', () => {
  const espeak = createEspeak()
  test('an unknown voice and a text without a word are refused', async () => {
    expect(
      await errorOf(espeak.speak({ text: 'hello', voice: 'xx-none', out: at('no.wav'), signal })),
    ).toMatchObject({ code: 'EARSHOT_BAD_REQUEST', hint: expect.stringContaining('en-us') })
    expect(await errorOf(espeak.speak({ text: '… !', out: at('no.wav'), signal }))).toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
    })
  })

  test.runIf(hasEspeak).each([undefined, 'de', 'de+f2'])(
    'voice %s speaks, in a file of the length that is told',
    async (voice) => {
      const { duration_s } = await espeak.speak({
        text: 'Öl -w /tmp/pwned\n\n$(touch pwned)',
        voice,
        out: at('espeak.wav'),
        signal,
      })
      expect(duration_s).toBeGreaterThan(1)
      expect(
        (await decode({ file: at('espeak.wav'), out: at('again.wav') })).duration_s,
      ).toBeCloseTo(duration_s, 1)
    },
  )
})

describe('speaking with Piper', () => {
  const home = at('piper-home')
  /**
   * What its programs have in common: a model, an output file, the text on standard input; it
   * speaks as long as the text is.
   */
  const SCRIPT = `const fs = require('fs'); const args = process.argv.slice(2); if (args[0] === '--help') process.exit(0)
    const given = Object.fromEntries([[args[0], args[1]], [args[2], args[3]]]); const text = fs.readFileSync(0, 'utf8')
    if (!fs.existsSync(given['--model']) || text.split('\\n').length !== 2) process.exit(3)
    const data = Buffer.alloc(text.length * 4410); const header = Buffer.alloc(44); header.write('RIFF', 0); header.writeUInt32LE(36 + data.length, 4); header.write('WAVEfmt ', 8)
    header.writeUInt32LE(16, 16); header.writeUInt16LE(1, 20); header.writeUInt16LE(1, 22); header.writeUInt32LE(22050, 24); header.writeUInt32LE(44100, 28); header.writeUInt16LE(2, 32)
    header.writeUInt16LE(16, 34); header.write('data', 36); header.writeUInt32LE(data.length, 40); fs.writeFileSync(given['--output_file'], Buffer.concat([header, data]))`
  const piper = async (script: string) => {
    await mkdir(path.join(home, 'models', 'piper'), { recursive: true })
    for (const name of ['en_US-a-low.onnx', 'en_US-a-low.onnx.json', 'half.onnx'])
      await writeFile(path.join(home, 'models', 'piper', name), '{}')
    await writeFile(at('piper.cjs'), script)
    await writeFile(
      at('piper'),
      `#!/bin/sh\nexec "${process.execPath}" "${at('piper.cjs')}" "$@"\n`,
    )
    await chmod(at('piper'), 0o755)
    return createPiper({ home, programs: { piper: at('piper') } })
  }

  test('without a voice, or without the program, it is a report', async () => {
    expect(await createPiper({ home: at('none') }).probe()).toMatchObject({
      available: false,
      reason: 'There is no voice for Piper.',
    })
    await piper(SCRIPT)
    expect(
      await createPiper({ home, programs: { piper: '/nowhere/piper' } }).probe(),
    ).toMatchObject({ available: false, missing: 'piper' })
  })

  test.runIf(process.platform !== 'win32')(
    'each voice of two files is a model; the text reaches it as one line',
    async () => {
      const engine = await piper(SCRIPT)
      expect(await engine.probe()).toEqual({ available: true })
      expect((await engine.models()).map(({ name }) => name)).toEqual(['en_US-a-low'])
      expect(
        await engine.speak({
          text: 'Two\n lines --model x',
          model: 'en_US-a-low',
          out: at('piper.wav'),
          signal,
        }),
      ).toEqual({ duration_s: 'Two lines --model x\n'.length / 10 })
      expect(
        await errorOf(engine.speak({ text: 'x', voice: 'half', out: at('no.wav'), signal })),
      ).toMatchObject({ code: 'EARSHOT_BAD_REQUEST' })
    },
  )

  test.runIf(process.platform !== 'win32')(
    'one that crashes has failed, with its last words',
    async () => {
      const engine = await piper(
        'require("fs").readFileSync(0); console.error("onnx: bad model"); process.exit(1)',
      )
      expect(await errorOf(engine.speak({ text: 'x', out: at('no.wav'), signal }))).toMatchObject({
        code: 'EARSHOT_ENGINE_FAILED',
        message: expect.stringContaining('onnx: bad model'),
      })
    },
  )
})

describe('finding engines', () => {
  test('this machine has one for every kind', async () => {
    expect(kindsOf(await findEngines())).toEqual(['embed', 'speak', 'transcribe'])
  })

  test('a missing program is a report with the package that mends it', async () => {
    const nowhere = Object.fromEntries(
      ['pocketsphinx', 'pocketsphinx_continuous', 'flite', 'espeak-ng'].map((name) => [
        name,
        `/nowhere/${name}`,
      ]),
    )
    const reports = Object.fromEntries(
      (await probeEngines(undefined, { programs: nowhere })).map(({ engine, report }) => [
        engine.name,
        [report.available, report.missing],
      ]),
    )
    expect(reports).toMatchObject({
      pocketsphinx: [false, 'pocketsphinx'],
      flite: [false, 'flite'],
      'espeak-ng': [false, 'espeak-ng'],
      'whisper.cpp': [false, 'whisper-model'],
      piper: [false, 'piper'],
      lexical: [true, undefined],
    })
  })

  test('without ffmpeg nothing is transcribed', async () => {
    expect(
      kindsOf(await findEngines(undefined, { programs: { ffprobe: '/nowhere/ffprobe' } })),
    ).toEqual(['embed', 'speak'])
  })
})
