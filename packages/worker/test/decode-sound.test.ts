import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { decode } from '../src/audio/decode.ts'
import { wavHeader } from '../src/audio/wav.ts'
import { errorOf, makeMedia, silence, tempFolder, tone } from './helpers/media.ts'

const dir = await tempFolder()
const at = (name: string) => path.join(dir, name)
const picture = (seconds: number) => [
  '-f',
  'lavfi',
  '-i',
  `testsrc=duration=${seconds}:size=64x64:rate=5`,
]

/** The level of each tenth of a second, in dB. */
async function levels(wav: string): Promise<number[]> {
  const bytes = (await readFile(wav)).subarray(44)
  return Array.from({ length: Math.floor(bytes.length / 3200) }, (_, moment) => {
    let energy = 0
    for (let i = 0; i < 1600; i++) energy += bytes.readInt16LE(moment * 3200 + i * 2) ** 2
    return 10 * Math.log10(energy / 1600 / 32768 ** 2 + 1e-10)
  })
}

/** The stretches with sound, in seconds. */
async function sounds(wav: string): Promise<Array<[from: number, to: number]>> {
  const found: Array<[number, number]> = []
  for (const [moment, level] of (await levels(wav)).entries()) {
    if (level < -50) continue
    const last = found.at(-1)
    if (last !== undefined && Math.abs(last[1] - moment / 10) < 0.05) last[1] = (moment + 1) / 10
    else found.push([moment / 10, (moment + 1) / 10])
  }
  return found
}

async function decoded(file: string) {
  const out = `${file}.out.wav`
  return { ...(await decode({ file, out })), sounds: await sounds(out), levels: await levels(out) }
}

const near = (seconds: number) => expect.closeTo(seconds, 0)

describe('the time in the recording', () => {
  const codecs: Record<string, string[]> = {
    mkv: ['-c:a', 'libopus'],
    mp4: ['-c:a', 'aac'],
    mov: ['-c:a', 'aac'],
    ts: ['-c:a', 'mp2', '-c:v', 'mpeg2video', '-r', '25'],
    webm: ['-c:a', 'libopus', '-c:v', 'libvpx'],
    mpg: ['-c:a', 'mp2', '-c:v', 'mpeg2video', '-r', '25'],
  }
  test.each(Object.keys(codecs))('sound that begins 5 s after the picture: .%s', async (ending) => {
    const file = await makeMedia(
      ...picture(8),
      '-itsoffset',
      '5',
      ...tone(2),
      '-map',
      '0:v',
      '-map',
      '1:a',
      ...codecs[ending]!,
      at(`late.${ending}`),
    )
    const { sounds: found, duration_s } = await decoded(file)
    expect(found[0]![0]).toBeGreaterThan(4.8)
    expect(found[0]![0]).toBeLessThan(5.3)
    expect(duration_s).toBeGreaterThan(6.8)
    expect(duration_s).toBeLessThan(7.4)
  })

  test('tracks that all begin late are not shifted', async () => {
    const file = await makeMedia(
      ...picture(3),
      ...tone(3),
      '-output_ts_offset',
      '100',
      '-c:v',
      'mpeg2video',
      '-r',
      '25',
      '-c:a',
      'mp2',
      at('both.ts'),
    )
    const { sounds: found, duration_s } = await decoded(file)
    expect(found[0]![0]).toBeLessThan(0.3)
    expect(duration_s).toBeCloseTo(3, 0)
  })

  test.each([
    ['webm', 'libopus'],
    ['mkv', 'flac'],
    ['mp4', 'aac'],
    ['ts', 'mp2'],
  ])('a gap without packets: .%s', async (ending, codec) => {
    const gapped = async (gap: number) =>
      decoded(
        await makeMedia(
          ...tone(4),
          '-af',
          `asetpts=PTS+gte(T\\,2)*${gap}/TB`,
          '-c:a',
          codec,
          at(`gap${gap}.${ending}`),
        ),
      )
    for (const gap of [6, 15]) {
      const { sounds: found } = await gapped(gap)
      expect(found).toEqual([
        [near(0), near(2)],
        [near(2 + gap), near(4 + gap)],
      ])
    }
  })

  test.each([16_000, 44_100])('small gaps and drift, at %i Hz', async (rate) => {
    const made = async (stamps: string, name: string) =>
      decoded(
        await makeMedia(...tone(20), '-ar', String(rate), '-af', `asetpts=${stamps}`, at(name)),
      )
    const silences = (all: number[]) => all.filter((level) => level < -50).length
    const gap = await made('PTS+gte(T\\,2)*0.04/TB', `small${rate}.mka`)
    expect(gap.duration_s).toBeCloseTo(20.04, 1)
    expect(silences(gap.levels)).toBe(0)
    for (const [speed, duration_s] of [
      [0.99, 19.8],
      [1.01, 20.2],
    ] as const) {
      const drift = await made(`PTS*${speed}`, `drift${rate}-${speed}.mka`)
      expect(drift.duration_s).toBeCloseTo(duration_s, 0.7)
      expect(silences(drift.levels)).toBe(0)
    }
  })

  test('recordings that stand behind each other lose nothing', async () => {
    for (const [ending, codec] of [
      ['opus', 'libopus'],
      ['mp3', 'mp3'],
      ['ts', 'mp2'],
    ] as const) {
      const one = await readFile(await makeMedia(...tone(3), '-c:a', codec, at(`one.${ending}`)))
      await writeFile(at(`two.${ending}`), Buffer.concat([one, one]))
      const { duration_s, levels: all } = await decoded(at(`two.${ending}`))
      expect(duration_s).toBeCloseTo(6, 0)
      expect(all.filter((level) => level > -50).length).toBeGreaterThan(57)
    }
  })
})

describe('every channel and track counts', () => {
  const loud = (all: number[]) => all.filter((level) => level > -30).length / all.length

  test.each([
    ['out of phase', 'c0=c0|c1=-1*c0'],
    ['out of phase and softer', 'c0=c0|c1=-0.8*c0'],
    ['only left', 'c0=c0'],
    ['only right', 'c1=c0'],
  ])('stereo, %s', async (name, pan) => {
    const file = await makeMedia(...tone(3), '-af', `pan=stereo|${pan}`, at(`${name}.mp3`))
    expect(loud((await decoded(file)).levels)).toBeGreaterThan(0.9)
  })

  test('a phase that turns over in the middle', async () => {
    const file = await makeMedia(
      ...tone(4),
      '-af',
      "aeval='val(0)|val(0)*(1-2*gte(t,2))'",
      at('turning.wav'),
    )
    expect(loud((await decoded(file)).levels)).toBeGreaterThan(0.95)
  })

  test.each([3, 4, 6, 8, 10, 16, 20, 32])('each of %i microphones alone', async (channels) => {
    const sound = await readFile(await makeMedia(...tone(1), '-ar', '16000', at('mono.wav')))
    const count = Math.floor((sound.length - 78) / 2)
    // Number 3, 4, 4 and 10 of 3, 6, 8 and 16 are low-frequency channels by the usual layouts.
    for (const microphone of new Set([
      0,
      2,
      Math.min(3, channels - 1),
      Math.min(9, channels - 1),
      channels - 1,
    ])) {
      const samples = Buffer.alloc(count * channels * 2)
      for (let i = 0; i < count; i++)
        sound.copy(samples, (i * channels + microphone) * 2, 78 + i * 2, 80 + i * 2)
      const header = wavHeader(samples.length)
      header.writeUInt16LE(channels, 22)
      header.writeUInt32LE(32_000 * channels, 28)
      header.writeUInt16LE(2 * channels, 32)
      await writeFile(at('many.wav'), Buffer.concat([header, samples]))
      const all = (await decoded(at('many.wav'))).levels
      expect(loud(all), `microphone ${microphone + 1}`).toBeGreaterThan(0.7)
    }
  })

  test('5.1 sound with speech in the LFE channel of a layout', async () => {
    const file = await makeMedia(...tone(2), '-af', 'pan=5.1|LFE=c0', at('lfe.flac'))
    expect(loud((await decoded(file)).levels)).toBeGreaterThan(0.9)
  })

  test('a silent first track and sound on the second', async () => {
    const file = await makeMedia(
      ...silence(3),
      ...tone(3),
      '-map',
      '0:a',
      '-map',
      '1:a',
      at('second.m4a'),
    )
    expect(loud((await decoded(file)).levels)).toBeGreaterThan(0.9)
  })

  test('one speaker a track, one after the other', async () => {
    const file = await makeMedia(
      ...tone(2),
      '-itsoffset',
      '3',
      ...tone(2),
      '-map',
      '0:a',
      '-map',
      '1:a',
      at('speakers.mka'),
    )
    expect((await decoded(file)).sounds).toEqual([
      [near(0), near(2)],
      [near(3), near(5)],
    ])
  })

  test('a second language is left out, and the recording says so', async () => {
    const file = await makeMedia(
      ...tone(2),
      ...tone(4),
      '-map',
      '0:a',
      '-map',
      '1:a',
      '-metadata:s:a:0',
      'language=eng',
      '-metadata:s:a:1',
      'language=ger',
      at('dubbed.mka'),
    )
    const { duration_s, warnings } = await decoded(file)
    expect(duration_s).toBeCloseTo(2, 0)
    expect(warnings).toEqual([expect.stringContaining('another language (ger)')])
  })
})

describe('the level', () => {
  const bursts = "sine=frequency=440:duration=4,volume='gte(mod(t,1),0.5)':eval=frame"
  const made = (volume: string, name: string) =>
    makeMedia('-f', 'lavfi', '-i', `${bursts},volume=${volume}`, at(name))

  test('faint speech is lifted; its level is told', async () => {
    // The tone itself has −21 dB.
    const { level_db, silent, levels: all } = await decoded(await made('-30dB', 'faint.flac'))
    expect(level_db).toBeCloseTo(-51, -0.5)
    expect(silent).toBe(false)
    expect(Math.max(...all)).toBeGreaterThan(-25)
  })

  test('loud speech stays as it is', async () => {
    const { level_db, levels: all } = await decoded(await made('0dB', 'loud.flac'))
    expect(Math.max(...all)).toBeCloseTo(level_db, -0.5)
  })

  test('faint steady noise is not lifted', async () => {
    const noise = ['-f', 'lavfi', '-i', 'anoisesrc=duration=4:amplitude=0.003']
    const { level_db, levels: all } = await decoded(await makeMedia(...noise, at('noise.flac')))
    expect(level_db).toBeLessThan(-50)
    expect(Math.max(...all)).toBeLessThan(-45)
  })

  test('silence', async () => {
    const file = await makeMedia(...silence(3), at('silence.flac'))
    expect(await decoded(file)).toMatchObject({ level_db: -100, silent: true })
  })
})

describe('formats', () => {
  test.each([
    ['gsm', ['-c:a', 'libgsm', '-ar', '8000']],
    ['mxf', ['-c:a', 'pcm_s16le', '-ar', '48000', '-f', 'mxf_opatom']],
    ['latm', ['-c:a', 'aac', '-f', 'latm']],
    ['sf', ['-c:a', 'pcm_s16le', '-f', 'ircam']],
    ['sox', ['-f', 'sox']],
    ['thd', ['-c:a', 'truehd', '-strict', '-2', '-ar', '48000', '-ac', '2']],
  ])('.%s', async (ending, args) => {
    const file = await makeMedia(...tone(3), ...args, at(`format.${ending}`))
    expect((await decoded(file)).duration_s).toBeCloseTo(3, 0)
  })

  test('.dv', async () => {
    const file = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc=duration=2:size=720x576:rate=25',
      ...tone(2),
      '-ar',
      '48000',
      '-ac',
      '2',
      '-target',
      'pal-dv',
      at('format.dv'),
    )
    expect((await decoded(file)).duration_s).toBeCloseTo(2, 0)
  })

  test('.sph', async () => {
    const samples = (
      await readFile(await makeMedia(...tone(3), '-ar', '16000', at('for-sphere.wav')))
    ).subarray(78)
    const fields = [
      'NIST_1A\n   1024',
      'channel_count -i 1',
      'sample_rate -i 16000',
      'sample_n_bytes -i 2',
      'sample_byte_format -s2 01',
      'sample_coding -s3 pcm',
      `sample_count -i ${samples.length / 2}`,
      'end_head\n',
    ].join('\n')
    await writeFile(at('format.sph'), Buffer.concat([Buffer.from(fields.padEnd(1024)), samples]))
    expect((await decoded(at('format.sph'))).duration_s).toBeCloseTo(3, 1)
  })
})

describe('a WAV file that holds more than its header says', () => {
  const wav = async (seconds: number, rate = 16_000) =>
    readFile(await makeMedia(...tone(seconds), '-ar', String(rate), '-bitexact', at('part.wav')))

  test('is decoded to its end, and says so', async () => {
    const bytes = await wav(4)
    bytes.writeUInt32LE(32_000, 40)
    await writeFile(at('lying.wav'), bytes)
    const { duration_s, warnings } = await decoded(at('lying.wav'))
    expect(duration_s).toBeCloseTo(4, 1)
    expect(warnings).toEqual([expect.stringContaining('less sound than there is')])
  })

  test('two recordings in one file are one', async () => {
    await writeFile(at('two.wav'), Buffer.concat([await wav(2), await wav(3)]))
    const { duration_s, warnings } = await decoded(at('two.wav'))
    expect(duration_s).toBeCloseTo(5, 1)
    expect(warnings).toEqual([expect.stringContaining('several WAV recordings')])
  })

  test('two recordings of different formats: the first, and a warning', async () => {
    await writeFile(at('mixed.wav'), Buffer.concat([await wav(2), await wav(3, 8000)]))
    const { duration_s, warnings } = await decoded(at('mixed.wav'))
    expect(duration_s).toBeCloseTo(2, 1)
    expect(warnings).toEqual([expect.stringContaining('only the first')])
  })

  test('a right header is believed, whatever chunks follow', async () => {
    const bytes = await wav(2)
    const list = Buffer.alloc(8 + 10_000)
    list.write('LIST')
    list.writeUInt32LE(10_000, 4)
    await writeFile(at('chunks.wav'), Buffer.concat([bytes, list]))
    const { duration_s, warnings } = await decoded(at('chunks.wav'))
    expect(duration_s).toBeCloseTo(2, 2)
    expect(warnings).toEqual([])
  })
})

test('a WAV file of 1 Hz is refused before it is blown up', async () => {
  const header = wavHeader(43_000)
  header.writeUInt32LE(1, 24)
  header.writeUInt32LE(2, 28)
  await writeFile(at('slow.wav'), Buffer.concat([header, Buffer.alloc(43_000)]))
  expect(await errorOf(decode({ file: at('slow.wav'), out: at('slow.out.wav') }))).toMatchObject({
    code: 'EARSHOT_MEDIA_UNREADABLE',
    message: expect.stringContaining('1 Hz'),
  })
})
