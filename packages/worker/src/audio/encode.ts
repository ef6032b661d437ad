import { stat } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError, type SpeechFormat } from '@earshot/contract'
import { endedBadly, runProgram } from '../process/run-program.ts'

/** How ffmpeg writes each format, and what it is called on the web. */
const FORMATS: Record<SpeechFormat, { args: string[]; mime: string }> = {
  wav: { args: ['-c:a', 'pcm_s16le', '-f', 'wav'], mime: 'audio/wav' },
  mp3: { args: ['-c:a', 'libmp3lame', '-b:a', '64k', '-f', 'mp3'], mime: 'audio/mpeg' },
  opus: {
    args: ['-c:a', 'libopus', '-b:a', '32k', '-application', 'voip', '-f', 'ogg'],
    mime: 'audio/ogg',
  },
  flac: { args: ['-c:a', 'flac', '-f', 'flac'], mime: 'audio/flac' },
  aac: { args: ['-c:a', 'aac', '-b:a', '64k', '-f', 'adts'], mime: 'audio/aac' },
  pcm: { args: ['-c:a', 'pcm_s16le', '-ar', '24000', '-f', 's16le'], mime: 'audio/pcm' },
}
const LIMITS = { cpuS: 600, memoryMb: 2048, fileBytes: 2 ** 31 }
const QUIET_LIMIT_S = 120

/** What a sound file of this format is called on the web. */
export const mimeOf = (format: SpeechFormat): string => FORMATS[format].mime

/**
 * Writes speech in another format or at another speed (0.25 to 4 times, the pitch stays), with
 * ffmpeg.
 *
 * @throws EarshotError EARSHOT_ENGINE_FAILED, EARSHOT_ENGINE_MISSING, EARSHOT_DISK_FULL; the
 *   signal's reason on abort
 * @example
 * await encode({ file: '/tmp/job/speech.wav', out: '/tmp/job/speech.mp3', format: 'mp3', speed: 1.5, signal })
 */
export async function encode({
  file,
  out,
  format,
  speed,
  signal,
}: {
  file: string
  out: string
  format: SpeechFormat
  speed: number
  signal: AbortSignal
}): Promise<void> {
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
      '-f',
      'wav',
      '-i',
      `file:${path.resolve(file)}`,
      ...(speed === 1 ? [] : ['-af', tempo(speed)]),
      '-ac',
      '1',
      ...FORMATS[format].args,
      `file:${path.resolve(out)}`,
    ],
    signal,
    quietLimitS: QUIET_LIMIT_S,
    limits: LIMITS,
  })
  const { size } = await stat(out).catch(() => ({ size: 0 }))
  if (ended.code === 0 && size > 0) return
  if (/Unknown encoder|Encoder \S+ not found/.test(ended.stderr))
    throw new EarshotError(
      'EARSHOT_ENGINE_MISSING',
      `The ffmpeg of this node cannot write ${format}.`,
    )
  throw endedBadly('ffmpeg', ended)
}

/** The filter takes 0.5 and more: slower is twice slow. */
const tempo = (speed: number): string =>
  speed >= 0.5 ? `atempo=${speed}` : `atempo=0.5,atempo=${speed / 0.5}`
