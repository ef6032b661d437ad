import { copyFile, readFile, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { decode } from '../src/audio/decode.ts'
import { wavHeader } from '../src/audio/wav.ts'
import { errorOf, makeMedia, silence, tempFolder, tone } from './helpers/media.ts'

const dir = await tempFolder()
const at = (name: string) => path.join(dir, name)
const out = at('out.wav')
let sound: string

beforeAll(async () => {
  sound = await makeMedia(...tone(3), '-ar', '44100', '-ac', '2', at('sound.wav'))
})

describe('what holds no usable sound is refused with a sentence', () => {
  test('an empty file', async () => {
    await writeFile(at('empty.mp3'), '')
    expect(await errorOf(decode({ file: at('empty.mp3'), out }))).toMatchObject({
      code: 'EARSHOT_MEDIA_EMPTY',
      message: 'The file is empty.',
    })
  })

  test('a text named .mp3', async () => {
    await writeFile(at('text.mp3'), 'These are only words.\n'.repeat(200))
    expect(await errorOf(decode({ file: at('text.mp3'), out }))).toMatchObject({
      code: 'EARSHOT_MEDIA_UNREADABLE',
      message: expect.stringContaining('not audio or video'),
    })
  })

  test('random bytes named .wav', async () => {
    await writeFile(
      at('noise.wav'),
      Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 7919 + (i >> 3)) % 251)),
    )
    expect(await errorOf(decode({ file: at('noise.wav'), out }))).toMatchObject({
      code: 'EARSHOT_MEDIA_UNREADABLE',
    })
  })

  test('a picture named .mp3', async () => {
    const picture = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'color=size=64x64',
      '-frames:v',
      '1',
      at('picture.png'),
    )
    await copyFile(picture, at('picture.mp3'))
    expect(await errorOf(decode({ file: at('picture.mp3'), out }))).toMatchObject({
      code: 'EARSHOT_MEDIA_UNREADABLE',
    })
  })

  test('an mp4 that is cut off before its index', async () => {
    const whole = await makeMedia(...tone(20), '-c:a', 'aac', at('cut.mp4'))
    await truncate(whole, 30_000)
    expect(await errorOf(decode({ file: whole, out }))).toMatchObject({
      code: 'EARSHOT_MEDIA_UNREADABLE',
      message: expect.stringContaining('cut off'),
    })
  })

  test('a wav of 0 seconds', async () => {
    await writeFile(at('zero.wav'), wavHeader(0))
    expect(await errorOf(decode({ file: at('zero.wav'), out }))).toMatchObject({
      code: 'EARSHOT_MEDIA_EMPTY',
    })
  })

  test('a video without sound', async () => {
    const video = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc=duration=1:size=64x64:rate=5',
      at('mute.mp4'),
    )
    expect(await errorOf(decode({ file: video, out }))).toMatchObject({
      code: 'EARSHOT_MEDIA_EMPTY',
      message: 'The video has no sound.',
    })
  })

  test('a recording that says it is over the limit', async () => {
    const long = await makeMedia(...silence(30), at('long.flac'))
    expect(await errorOf(decode({ file: long, out, maxDurationS: 20 }))).toMatchObject({
      code: 'EARSHOT_MEDIA_TOO_LONG',
      message: 'The recording lasts 30 s; the limit is 20 s.',
    })
  })

  test('a recording that is over the limit and does not say so', async () => {
    const long = await makeMedia(...tone(30), '-c:a', 'aac', at('long.aac'))
    const lying = Buffer.concat([
      wavHeader(32_000),
      (await readFile(await makeMedia(...tone(30), '-ar', '16000', at('thirty.wav')))).subarray(44),
    ])
    lying.writeUInt32LE(0xffffffff, 40)
    await writeFile(at('lying.wav'), lying)
    for (const file of [long, at('lying.wav')]) {
      expect(await errorOf(decode({ file, out, maxDurationS: 20 }))).toMatchObject({
        code: 'EARSHOT_MEDIA_TOO_LONG',
      })
    }
  })
})

describe('trouble on this machine is not blamed on the file', () => {
  test.runIf(process.platform === 'linux')('a full disk', async () => {
    expect(await errorOf(decode({ file: sound, out: '/dev/full' }))).toMatchObject({
      code: 'EARSHOT_DISK_FULL',
    })
  })

  test('no ffmpeg', async () => {
    expect(
      await errorOf(decode({ file: sound, out, programs: { ffprobe: '/nowhere/ffprobe' } })),
    ).toMatchObject({ code: 'EARSHOT_ENGINE_MISSING' })
    expect(
      await errorOf(decode({ file: sound, out, programs: { ffmpeg: '/nowhere/ffmpeg' } })),
    ).toMatchObject({ code: 'EARSHOT_ENGINE_MISSING' })
  })

  test('an abort ends ffmpeg and throws the reason', async () => {
    const abort = new AbortController()
    const long = await makeMedia(...silence(3_600), at('hour.flac'))
    const reason = new Error('lease lost')
    await expect(
      decode({ file: long, out, signal: abort.signal, onProgress: () => abort.abort(reason) }),
    ).rejects.toBe(reason)
  })
})

describe('sound is decoded', () => {
  test.each(['.mp3', '.m4a', '.opus', '.flac', '.webm', '.aiff', '.aac', '.wma', '.avi'])(
    '%s to 16 kHz mono',
    async (ending) => {
      const file = await makeMedia(...tone(3), at(`tone${ending}`))
      const fractions: number[] = []
      const { duration_s, size } = await decode({
        file,
        out,
        onProgress: (fraction) => fractions.push(fraction),
      })
      expect(duration_s).toBeGreaterThan(2.9)
      expect(duration_s).toBeLessThan(3.2)
      const wav = await readFile(out)
      expect(wav.length).toBe(size)
      expect(wav.subarray(0, 44)).toEqual(wavHeader(size - 44))
      expect(fractions.at(-1)).toBe(1)
    },
  )

  test.each([
    '-rf.wav',
    'two\nlines.wav',
    '"quoted\' name.wav',
    '🎙️ é.wav',
    '$(touch pwned).wav',
    'take%03d.wav',
    'a:b.wav',
    'http:colon.wav',
    'concat:x|y.wav',
    'back\\slash.wav',
    ' blank .wav',
  ])('a file named %j', async (name) => {
    await copyFile(sound, at(name))
    expect((await decode({ file: at(name), out: at(`${name}.out.wav`) })).duration_s).toBeCloseTo(
      3,
      1,
    )
  })

  test('the sound of a video', async () => {
    const video = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc=duration=2:size=64x64:rate=5',
      ...tone(2),
      '-shortest',
      at('video.mp4'),
    )
    expect((await decode({ file: video, out })).duration_s).toBeCloseTo(2, 0)
  })

  test('a damaged file, as far as it goes', async () => {
    const file = await makeMedia(...tone(30), at('damaged.mp3'))
    const bytes = await readFile(file)
    bytes.fill(0x55, 100_000, 105_000)
    await writeFile(file, bytes)
    expect((await decode({ file, out })).duration_s).toBeGreaterThan(25)
  })

  test('a file that is cut off, as far as it goes', async () => {
    const file = await makeMedia(
      ...tone(20),
      '-c:a',
      'aac',
      '-movflags',
      '+faststart',
      at('half.mp4'),
    )
    await truncate(file, Math.floor((await readFile(file)).length / 2))
    const { duration_s } = await decode({ file, out })
    expect(duration_s).toBeGreaterThan(5)
    expect(duration_s).toBeLessThan(15)
  })
})
