import { open } from 'node:fs/promises'
import { BYTES_PER_S, HEADER_BYTES } from './wav.ts'

/**
 * A stretch of a WAV file that decode made: where its samples are, in bytes, and when it begins, in
 * seconds.
 */
export type AudioPiece = { from: number; bytes: number; start_s: number }

const MOST_S = 600
/** The quietest moment is looked for in this last part. */
const SEARCH_S = 30
const MOMENT_BYTES = BYTES_PER_S / 5

/**
 * Cuts a recording into pieces of up to ten minutes, where it is quietest, so that anyone who hears
 * it needs memory for one piece only.
 *
 * @param size of the file, in bytes
 * @example
 * for await (const { from, bytes, start_s } of piecesOf('/tmp/job/audio.wav', 44 + 32_000)) … // one piece: from 44, 32,000 bytes
 */
export async function* piecesOf(
  wav: string,
  size: number,
  mostS = MOST_S,
): AsyncGenerator<AudioPiece> {
  const handle = await open(wav)
  try {
    let from = HEADER_BYTES
    while (from < size) {
      const most = mostS * BYTES_PER_S
      const bytes = size - from <= most ? size - from : await quietestCut(handle, from, most)
      yield { from, bytes, start_s: (from - HEADER_BYTES) / BYTES_PER_S }
      from += bytes
    }
  } finally {
    await handle.close()
  }
}

/**
 * How many bytes to take, so that the cut is in the middle of the quietest fifth of a second near
 * the end.
 */
async function quietestCut(
  handle: Awaited<ReturnType<typeof open>>,
  from: number,
  most: number,
): Promise<number> {
  const length = Math.min(SEARCH_S * BYTES_PER_S, most / 2)
  const { buffer, bytesRead } = await handle.read(
    Buffer.alloc(length),
    0,
    length,
    from + most - length,
  )
  let best = { loudness: Infinity, at: bytesRead - MOMENT_BYTES }
  for (let at = 0; at + MOMENT_BYTES <= bytesRead; at += MOMENT_BYTES) {
    let loudness = 0
    for (let i = at; i < at + MOMENT_BYTES; i += 2) loudness += Math.abs(buffer.readInt16LE(i))
    if (loudness <= best.loudness) best = { loudness, at }
  }
  return most - length + best.at + MOMENT_BYTES / 2
}
