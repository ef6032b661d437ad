import { stat } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import { endedBadly, runProgram } from '../process/run-program.ts'
import { refusePlaylist } from './formats.ts'
import { probeMedia, safeInput, unreadable } from './probe.ts'
import { BYTES_PER_S, HEADER_BYTES } from './wav.ts'

export type DecodeOptions = {
  file: string
  /** Where the WAV file goes; overwritten. */
  out: string
  maxDurationS?: number
  signal?: AbortSignal
  onProgress?: (fraction: number) => void
  /** ffmpeg and ffprobe, when they are not on the PATH. */
  programs?: { ffmpeg?: string; ffprobe?: string }
}

const QUIET_LIMIT_S = 120
const MEMORY_MB = 2048
const SHORTEST_S = 0.05

/**
 * Decodes any media file to a 16 kHz mono 16-bit WAV file, with ffmpeg in a child process that opens this file and no
 * other, no address and no playlist, under limits of processor time, memory and output. A damaged file is decoded as
 * far as it goes.
 *
 * @param maxDurationS longer recordings are refused, 12 hours when not given
 * @returns the length in seconds and the size of the WAV file in bytes
 * @throws EarshotError EARSHOT_MEDIA_EMPTY, EARSHOT_MEDIA_UNREADABLE, EARSHOT_MEDIA_REFUSED, EARSHOT_MEDIA_TOO_LONG,
 * EARSHOT_DISK_FULL, EARSHOT_ENGINE_MISSING, EARSHOT_ENGINE_FAILED (ffmpeg hung); the signal's reason on abort
 * @example
 * const { duration_s } = await decode({ file: '/media/talk.mp3', out: '/tmp/job/audio.wav' })
 */
export async function decode({
  file,
  out,
  maxDurationS = 43_200,
  signal,
  onProgress,
  programs = {},
}: DecodeOptions): Promise<{ duration_s: number; size: number }> {
  const source = path.resolve(file)
  await refusePlaylist(source)
  const { duration_s: stated } = await probeMedia({
    file: source,
    signal,
    ffprobe: programs.ffprobe,
  })
  if (stated !== null && stated > maxDurationS) throw tooLong(maxDurationS, stated)

  const ended = await runProgram({
    program: programs.ffmpeg ?? 'ffmpeg',
    args: [
      '-nostdin',
      '-hide_banner',
      '-v',
      'error',
      '-nostats',
      '-progress',
      'pipe:1',
      '-y',
      '-max_error_rate',
      '1',
      ...safeInput(source),
      '-vn',
      '-sn',
      '-dn',
      '-map_metadata',
      '-1',
      '-ac',
      '1',
      '-ar',
      '16000',
      '-c:a',
      'pcm_s16le',
      // One second more than allowed, which tells a recording of just the limit from a longer one.
      '-t',
      String(maxDurationS + 1),
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
    limits: {
      cpuS: 120 + maxDurationS / 20,
      memoryMb: MEMORY_MB,
      fileBytes: (maxDurationS + 10) * BYTES_PER_S,
    },
    onLine: (line) => {
      const microseconds = /^out_time_us=(\d+)$/.exec(line)?.[1]
      if (microseconds !== undefined && stated)
        onProgress?.(Math.min(1, Number(microseconds) / 1e6 / stated))
    },
  })
  const failure = endedBadly('ffmpeg', ended)
  if (failure.code === 'EARSHOT_DISK_FULL') throw failure
  if (ended.code === null)
    throw new EarshotError(
      'EARSHOT_MEDIA_UNREADABLE',
      `The file could not be decoded within the limits of time and memory: ${failure.message}`,
    )

  const { size } = await stat(out).catch((err: NodeJS.ErrnoException) => {
    // ffmpeg opens its output only once it has a decoder for the input.
    if (err.code === 'ENOENT') throw unreadable(ended.stderr)
    throw err
  })
  const duration_s = Math.max(0, size - HEADER_BYTES) / BYTES_PER_S
  if (duration_s > maxDurationS) throw tooLong(maxDurationS, null)
  if (duration_s < SHORTEST_S)
    throw ended.code === 0
      ? new EarshotError('EARSHOT_MEDIA_EMPTY', 'The file holds no sound: it lasts 0 seconds.')
      : unreadable(ended.stderr)
  onProgress?.(1)
  return { duration_s, size }
}

function tooLong(limit: number, actual: number | null): EarshotError {
  const lasts = actual === null ? 'longer' : hours(actual)
  return new EarshotError(
    'EARSHOT_MEDIA_TOO_LONG',
    `The recording lasts ${lasts}${actual === null ? ' than' : '; the limit is'} ${hours(limit)}.`,
    {
      hint: 'Raise limits.max_duration_s or cut the recording.',
    },
  )
}

function hours(seconds: number): string {
  return seconds < 120
    ? `${Math.round(seconds)} s`
    : seconds < 7200
      ? `${Math.round(seconds / 60)} minutes`
      : `${(seconds / 3600).toFixed(1)} hours`
}
