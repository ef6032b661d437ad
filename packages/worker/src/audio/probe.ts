import { EarshotError } from '@earshot/contract'
import { z } from 'zod'
import { endedBadly, lastLine, runProgram } from '../process/run-program.ts'
import { DEMUXERS, refused } from './formats.ts'

const Answer = z.object({
  streams: z
    .array(
      z.object({
        codec_type: z.string().optional(),
        codec_name: z.string().optional(),
        duration: z.coerce.number().optional(),
      }),
    )
    .default([]),
  format: z.object({ duration: z.coerce.number().optional() }).default({}),
})

/** How ffmpeg and ffprobe may open a file: that file alone, as one of the formats that refer to no other. */
export const safeInput = (file: string): string[] => [
  '-protocol_whitelist',
  'file,pipe',
  '-format_whitelist',
  DEMUXERS,
  '-max_alloc',
  String(512 * 2 ** 20),
  '-i',
  `file:${file}`,
]

const LIMITS = { cpuS: 60, memoryMb: 2048, fileBytes: 2 ** 20 }
const QUIET_LIMIT_S = 60

/**
 * What a media file says of itself. `duration_s` is null where it says nothing; what it says may be wrong.
 *
 * @throws EarshotError EARSHOT_MEDIA_EMPTY (no sound in it), EARSHOT_MEDIA_UNREADABLE, EARSHOT_MEDIA_REFUSED, EARSHOT_ENGINE_MISSING
 */
export async function probeMedia({
  file,
  ffprobe = 'ffprobe',
  signal,
}: {
  file: string
  ffprobe?: string
  signal?: AbortSignal
}): Promise<{ duration_s: number | null }> {
  const args = [
    '-v',
    'error',
    ...safeInput(file),
    '-show_entries',
    'format=duration:stream=codec_type,codec_name,duration',
    '-of',
    'json',
  ]
  const ended = await runProgram({
    program: ffprobe,
    args,
    signal,
    quietLimitS: QUIET_LIMIT_S,
    limits: LIMITS,
  })
  if (ended.code !== 0)
    throw unreadable(ended.code === null ? endedBadly('ffprobe', ended).message : ended.stderr)
  const { streams, format } = Answer.parse(JSON.parse(ended.stdout))
  const sound = streams.filter(({ codec_type }) => codec_type === 'audio')
  if (sound.length === 0) {
    const video = streams.some(({ codec_type }) => codec_type === 'video')
    throw new EarshotError(
      'EARSHOT_MEDIA_EMPTY',
      video ? 'The video has no sound.' : 'The file holds no sound.',
    )
  }
  const durations = [format.duration, ...sound.map(({ duration }) => duration)].filter(
    (duration) => duration !== undefined,
  )
  return { duration_s: durations.length === 0 ? null : Math.max(...durations) }
}

const POINTERS = new Set([
  'hls',
  'applehttp',
  'concat',
  'dash',
  'sdp',
  'rtsp',
  'rtp',
  'imf',
  'webm_dash_manifest',
  'image2',
])

/** What ffmpeg says of anything that it does not know. */
const NOTHING_MORE = 'Invalid data found when processing input'

/** The sentence for what ffmpeg could not open, by what it printed: it has no other way to tell. */
export function unreadable(stderr: string): EarshotError {
  const format = /\[([\w,]+) @ 0x[0-9a-f]+\] Format not on whitelist/.exec(stderr)?.[1]
  if (format !== undefined && format.split(',').some((name) => POINTERS.has(name)))
    return refused('a playlist')
  if (/moov atom not found/.test(stderr)) {
    return new EarshotError(
      'EARSHOT_MEDIA_UNREADABLE',
      'The recording is cut off: its index, which stands at the end, is missing.',
      { hint: 'Copy the file again, whole.' },
    )
  }
  if (format !== undefined)
    return new EarshotError(
      'EARSHOT_MEDIA_UNREADABLE',
      `The file is not audio or video (it looks like ${format.replaceAll('_pipe', '')}).`,
    )
  const said = lastLine(stderr).replace(/^file:.*: /, '')
  return new EarshotError(
    'EARSHOT_MEDIA_UNREADABLE',
    `The file is not audio or video that can be read${said === '' || said === NOTHING_MORE ? '' : ` (ffmpeg: ${said})`}.`,
  )
}
