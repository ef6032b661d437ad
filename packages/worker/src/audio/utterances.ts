import { open, type FileHandle } from 'node:fs/promises'
import { EarshotError } from '@earshot/contract'
import { BYTES_PER_S, HEADER_BYTES, SAMPLE_RATE, wavHeader } from './wav.ts'

/**
 * Where a stretch of the recording begins, in the recording and in the copy with pauses, in
 * seconds.
 */
export type Stretch = { source_s: number; copy_s: number }

const SHORTEST_S = 8
const LONGEST_S = 20
/** Both programs take half a second or less for the end of an utterance. */
const PAUSE_S = 0.8
const TAIL_S = 1
const FRAME = SAMPLE_RATE / 100
/** Half the width of the window in which the mean level is taken, in frames of 10 ms. */
const AROUND = 15
/** Nothing but the last bits: no speech is that quiet. */
const SILENT = 4

/**
 * Copies a 16 kHz mono 16-bit WAV file with a pause put in at the quietest place of every 8 to 20
 * seconds, and leaves out stretches of 20 seconds that are silent to the last bits. Memory stays
 * flat.
 *
 * Why: recognisers end an utterance at a pause they hear; over music or noise there may be none.
 * The word lattice of a long utterance costs more than the hearing: ten minutes of speech without a
 * pause kept pocketsphinx 0.8 busy for ten minutes more after it had heard them. Cutting costs some
 * accuracy there (two minutes without a pause: 22 words in 100 wrong instead of 17; 45 or 60
 * seconds instead of 20 did no better), none where there are pauses. And an hour of silence is
 * passed over in a moment.
 *
 * @returns where each stretch came from, for {@link sourceTime}
 * @throws EarshotError EARSHOT_DISK_FULL; the signal's reason on abort
 */
export async function copyWithPauses({
  wav,
  out,
  signal,
}: {
  wav: string
  out: string
  signal: AbortSignal
}): Promise<Stretch[]> {
  const source = await open(wav)
  try {
    const copy = await open(out, 'w')
    try {
      return await copyStretches(source, copy, signal)
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'ENOSPC')
        throw new EarshotError(
          'EARSHOT_DISK_FULL',
          'The disk is full: the recording could not be made ready for the recogniser.',
          { cause: err },
        )
      throw err
    } finally {
      await copy.close()
    }
  } finally {
    await source.close()
  }
}

async function copyStretches(
  source: FileHandle,
  copy: FileHandle,
  signal: AbortSignal,
): Promise<Stretch[]> {
  const stretches: Stretch[] = []
  const block = Buffer.alloc(LONGEST_S * BYTES_PER_S)
  const { size } = await source.stat()
  let read = 0
  let written = 0
  const write = async (bytes: Buffer) => {
    await copy.write(bytes, 0, bytes.length, HEADER_BYTES + written)
    written += bytes.length
  }
  for (;;) {
    signal.throwIfAborted()
    const { bytesRead } = await source.read(block, 0, block.length, HEADER_BYTES + read)
    const samples = new Int16Array(block.buffer, block.byteOffset, bytesRead >> 1)
    if (samples.length === 0) break
    const last = HEADER_BYTES + read + bytesRead >= size
    const silent = isSilent(samples)
    const end = last || silent ? samples.length : quietest(samples)
    if (!silent) {
      stretches.push({ source_s: read / BYTES_PER_S, copy_s: written / BYTES_PER_S })
      await write(block.subarray(0, end * 2))
      await write(Buffer.alloc((last ? TAIL_S : PAUSE_S) * BYTES_PER_S))
    }
    read += end * 2
    if (last) break
  }
  const header = wavHeader(written)
  await copy.write(header, 0, header.length, 0)
  return stretches
}

function isSilent(samples: Int16Array): boolean {
  return samples.every((sample) => sample >= -SILENT && sample <= SILENT)
}

/** The sample, after the shortest stretch, around which the mean level of 0.3 s is lowest. */
function quietest(samples: Int16Array): number {
  const levels = Array.from({ length: Math.floor(samples.length / FRAME) }, (_, frame) =>
    levelOf(samples, frame),
  )
  let best = SHORTEST_S * 100
  let lowest = Infinity
  for (let frame = SHORTEST_S * 100; frame < levels.length - AROUND; frame++) {
    let level = 0
    for (let near = frame - AROUND; near <= frame + AROUND; near++) level += levels[near] ?? 0
    if (level >= lowest) continue
    lowest = level
    best = frame
  }
  return best * FRAME
}

/** Logarithmic, so that one loud click does not hide a pause. */
function levelOf(samples: Int16Array, frame: number): number {
  let energy = 0
  for (let i = frame * FRAME; i < (frame + 1) * FRAME; i++) energy += (samples[i] ?? 0) ** 2
  return Math.log(1 + energy / FRAME)
}

/**
 * A time in the copy as a time in the recording. What falls into an inserted pause is the moment of
 * the pause.
 *
 * @example
 * sourceTime([{ source_s: 0, copy_s: 0 }, { source_s: 10, copy_s: 10.8 }], 11) // 10.2
 */
export function sourceTime(stretches: readonly Stretch[], copyS: number): number {
  let low = 0
  let high = stretches.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((stretches[middle]?.copy_s ?? 0) <= copyS) low = middle
    else high = middle - 1
  }
  const at = stretches[low]
  if (at === undefined) return copyS
  const next = stretches[low + 1]
  const time = at.source_s + copyS - at.copy_s
  return next === undefined
    ? time
    : Math.min(time, at.source_s + (next.copy_s - PAUSE_S - at.copy_s))
}
