import { open, type FileHandle } from 'node:fs/promises'

/** What stands in a WAV file behind the sound that its header speaks of. */
export type WavTail = {
  /** The sentence for the user. */
  warning: string
  /** It is sound of the same format, so that it can be decoded together with the rest. */
  decodable: boolean
}

/** Less than this behind the sound is a stray chunk or padding. */
const LEAST_BYTES = 4096
const MOST_CHUNKS = 1000

type Chunk = { name: string; from: number; size: number }

/**
 * Looks for sound behind the end that a WAV file's header states: a header that was never
 * completed, or a second WAV file put behind the first.
 *
 * @returns undefined for what is no WAV file, and for one whose header is right
 * @example
 * (await readWavTail('/media/two.wav'))?.warning // The file holds two WAV recordings, …
 */
export async function readWavTail(file: string): Promise<WavTail | undefined> {
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    const head = await readAt(handle, 0, 12)
    if (!isRiff(head)) return undefined
    let format: Buffer | undefined
    let isAfterSound = false
    let at = 12
    for (let chunks = 0; chunks < MOST_CHUNKS && at + 8 <= size; chunks++) {
      const chunk = await readChunk(handle, at)
      if (isAfterSound && chunk.name === 'RIFF') {
        if (!isRiff(await readAt(handle, at, 12))) break
        const next = await readChunk(handle, at + 12)
        const same =
          next.name === 'fmt ' &&
          format?.equals(await readAt(handle, next.from, format.length)) === true
        return {
          warning: `The file holds several WAV recordings, one behind the other; ${same ? 'all were transcribed as one' : 'only the first was transcribed, since the next has another format'}.`,
          decodable: same,
        }
      }
      const isChunk = /^[\x20-\x7e]{4}$/.test(chunk.name) && chunk.from + chunk.size <= size
      if (!isChunk) break
      if (chunk.name === 'fmt ') format = await readAt(handle, chunk.from, Math.min(16, chunk.size))
      if (chunk.name === 'data') {
        // ffmpeg reads on by itself from a header that states none of it.
        if (chunk.size === 0) return undefined
        isAfterSound = true
      }
      at = chunk.from + chunk.size + (chunk.size % 2)
    }
    if (!isAfterSound || size - at < LEAST_BYTES) return undefined
    return {
      warning:
        'The header of the WAV file states less sound than there is; the rest was transcribed too.',
      decodable: true,
    }
  } finally {
    await handle.close()
  }
}

const isRiff = (head: Buffer): boolean =>
  head.toString('latin1', 0, 4) === 'RIFF' && head.toString('latin1', 8, 12) === 'WAVE'

async function readChunk(handle: FileHandle, at: number): Promise<Chunk> {
  const head = await readAt(handle, at, 8)
  return { name: head.toString('latin1', 0, 4), from: at + 8, size: head.readUInt32LE(4) }
}

async function readAt(handle: FileHandle, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  await handle.read(buffer, 0, length, at)
  return buffer
}
