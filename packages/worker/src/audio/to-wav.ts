import { open } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import { endedBadly, runProgram } from '../process/run-program.ts'
import { safeInput } from './probe.ts'
import { HEADER_BYTES } from './wav.ts'

const LIMITS = { cpuS: 600, memoryMb: 2048, fileBytes: 2 ** 31 }
const QUIET_LIMIT_S = 120

/**
 * What an engine made, as a mono 16-bit WAV file of the same sample rate.
 *
 * @param who whose it is, for the error when it is no sound
 * @throws EarshotError EARSHOT_ENGINE_FAILED, EARSHOT_ENGINE_MISSING (no ffmpeg),
 *   EARSHOT_DISK_FULL; the signal's reason on abort
 * @example
 * const { duration_s } = await toWav({ file: '/tmp/job/a.mp3', out: '/tmp/job/speech.wav', signal, who: 'The server at box:8000' })
 */
export async function toWav({
  file,
  out,
  signal,
  who,
}: {
  file: string
  out: string
  signal: AbortSignal
  who: string
}): Promise<{ duration_s: number }> {
  const ended = await runProgram({
    program: 'ffmpeg',
    args: [
      '-nostdin',
      '-hide_banner',
      '-v',
      'error',
      '-nostats',
      '-progress',
      'pipe:1',
      '-y',
      ...safeInput(path.resolve(file)),
      '-vn',
      '-map_metadata',
      '-1',
      '-ac',
      '1',
      '-c:a',
      'pcm_s16le',
      '-fflags',
      '+bitexact',
      '-flags:a',
      '+bitexact',
      '-f',
      'wav',
      `file:${path.resolve(out)}`,
    ],
    signal,
    quietLimitS: QUIET_LIMIT_S,
    limits: LIMITS,
  })
  const failure = endedBadly('ffmpeg', ended)
  if (failure.code === 'EARSHOT_DISK_FULL') throw failure
  const duration_s = ended.code === 0 ? await wavLength(out) : 0
  if (duration_s <= 0)
    throw new EarshotError('EARSHOT_ENGINE_FAILED', `${who} gave what is no sound.`)
  return { duration_s }
}

/**
 * The length in seconds of a PCM WAV file with a plain header, as `toWav` and `decode` write it.
 */
export async function wavLength(file: string): Promise<number> {
  const handle = await open(file)
  try {
    const header = Buffer.alloc(HEADER_BYTES)
    const { bytesRead } = await handle.read(header, 0, HEADER_BYTES, 0)
    const { size } = await handle.stat()
    return bytesRead < HEADER_BYTES ? 0 : (size - HEADER_BYTES) / header.readUInt32LE(28)
  } finally {
    await handle.close()
  }
}
