import { open, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { copyWithPauses, sourceTime } from '../src/audio/utterances.ts'
import { BYTES_PER_S, HEADER_BYTES, SAMPLE_RATE, wavHeader } from '../src/audio/wav.ts'
import { errorOf, tempFolder } from './helpers/media.ts'

const dir = await tempFolder()
const wav = path.join(dir, 'in.wav')
const out = path.join(dir, 'out.wav')
const { signal } = new AbortController()

/** A WAV file whose level at each second of `levels` is that loud; 0 is digital silence. */
async function makeWav(seconds: number, levelAt: (second: number) => number): Promise<Int16Array> {
  const samples = Int16Array.from({ length: Math.round(seconds * SAMPLE_RATE) }, (_, i) =>
    Math.round(levelAt(i / SAMPLE_RATE) * Math.sin(i / 7)),
  )
  const bytes = Buffer.from(samples.buffer)
  await writeFile(wav, Buffer.concat([wavHeader(bytes.length), bytes]))
  return samples
}

test.runIf(process.platform === 'linux')('a full disk is told as such', async () => {
  await makeWav(2, () => 5000)
  expect(await errorOf(copyWithPauses({ wav, out: '/dev/full', signal }))).toMatchObject({
    code: 'EARSHOT_DISK_FULL',
  })
})

test('an abort throws the reason', async () => {
  await expect(
    copyWithPauses({ wav, out, signal: AbortSignal.abort(new Error('over')) }),
  ).rejects.toThrow('over')
})

test('a pause goes where it is quietest, and times lead back', async () => {
  await makeWav(25, (second) => (second > 13 && second < 13.4 ? 20 : 8000))
  const stretches = await copyWithPauses({ wav, out, signal })
  expect(stretches).toHaveLength(2)
  expect(stretches[1]?.source_s).toBeGreaterThan(13)
  expect(stretches[1]?.source_s).toBeLessThan(13.4)
  expect((stretches[1]?.copy_s ?? 0) - (stretches[1]?.source_s ?? 0)).toBeCloseTo(0.8)
  expect(sourceTime(stretches, 5)).toBe(5)
  expect(sourceTime(stretches, 21)).toBeCloseTo(20.2)
  expect(sourceTime(stretches, (stretches[1]?.copy_s ?? 0) - 0.1)).toBeCloseTo(
    stretches[1]?.source_s ?? 0,
  )
})

test('silence to the last bits is left out, and times lead back over it', async () => {
  await makeWav(75, (second) => (second > 70 ? 8000 : 0))
  const stretches = await copyWithPauses({ wav, out, signal })
  expect(stretches).toEqual([{ source_s: 60, copy_s: 0 }])
  expect(sourceTime(stretches, 12)).toBe(72)
  await makeWav(60, () => 0)
  expect(await copyWithPauses({ wav, out, signal })).toEqual([])
})

test('no sample is lost or moved: the copy without its pauses is the recording, and no utterance is longer than 20 seconds', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.double({ min: 0.01, max: 65, noNaN: true }),
      fc.array(fc.integer({ min: 10, max: 9000 }), { minLength: 1, maxLength: 40 }),
      async (seconds, levels) => {
        const samples = await makeWav(
          seconds,
          (second) => levels[Math.floor(second * 3) % levels.length] ?? 10,
        )
        const stretches = await copyWithPauses({ wav, out, signal })
        const copy = await readFile(out)
        expect(copy.readUInt32LE(40)).toBe(copy.length - HEADER_BYTES)
        const parts = stretches.map(({ source_s, copy_s }, i) => {
          const length = (stretches[i + 1]?.source_s ?? samples.length / SAMPLE_RATE) - source_s
          expect(length).toBeLessThanOrEqual(20)
          const from = HEADER_BYTES + Math.round(copy_s * BYTES_PER_S)
          return copy.subarray(from, from + Math.round(length * BYTES_PER_S))
        })
        expect(Buffer.concat(parts).equals(Buffer.from(samples.buffer))).toBe(true)
      },
    ),
    { numRuns: 15 },
  )
})

test("the copy ends in silence, for recognisers that speak only at an utterance's end", async () => {
  await makeWav(3, () => 8000)
  await copyWithPauses({ wav, out, signal })
  const handle = await open(out)
  const { size } = await handle.stat()
  const { buffer } = await handle.read(
    Buffer.alloc(BYTES_PER_S),
    0,
    BYTES_PER_S,
    size - BYTES_PER_S,
  )
  await handle.close()
  expect(buffer.every((byte) => byte === 0)).toBe(true)
})
