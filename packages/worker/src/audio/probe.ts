import { EarshotError } from '@earshot/contract'
import { z } from 'zod'
import { endedBadly, lastLine, runProgram } from '../process/run-program.ts'
import { DEMUXERS, refused } from './formats.ts'

const Answer = z.object({
  streams: z
    .array(
      z.object({
        codec_type: z.string().optional(),
        index: z.number().int(),
        channels: z.number().int().optional(),
        channel_layout: z.string().optional(),
        sample_rate: z.coerce.number().optional(),
        duration: z.coerce.number().optional(),
        tags: z.object({ language: z.string().optional() }).optional(),
      }),
    )
    .default([]),
  format: z
    .object({
      duration: z.coerce.number().optional(),
      start_time: z.coerce.number().optional(),
    })
    .default({}),
})

type Stream = z.infer<typeof Answer>['streams'][number]

/** One track of sound. */
export type Track = {
  /** Its number among all streams of the file. */
  index: number
  channels: number
  /** As ffmpeg calls it; undefined where the file does not say where the channels belong. */
  layout: string | undefined
  language: string | undefined
}

export type Probed = {
  /** Null where the file says nothing; what it says may be wrong. */
  duration_s: number | null
  /** The time stamp at which its earliest track begins. */
  start_s: number
  tracks: Track[]
}

/** Nothing that people record is below: a header of 1 Hz makes gigabytes of kilobytes. */
const LOWEST_RATE = 1000
/** As many as ffmpeg takes. */
const MOST_CHANNELS = 64

/**
 * How ffmpeg and ffprobe may open a file: that file alone, as one of the formats that refer to no
 * other.
 */
export const safeInput = (file: string, options: string[] = []): string[] => [
  ...options,
  '-protocol_whitelist',
  'file,pipe',
  '-format_whitelist',
  DEMUXERS,
  '-max_alloc',
  String(512 * 2 ** 20),
  '-i',
  `file:${file}`,
]

const STREAM_ENTRIES = 'index,codec_type,channels,channel_layout,sample_rate,duration'
const LIMITS = { cpuS: 60, memoryMb: 2048, fileBytes: 2 ** 20 }
const QUIET_LIMIT_S = 60

/**
 * What a media file says of itself.
 *
 * @throws EarshotError EARSHOT_MEDIA_EMPTY (no sound in it), EARSHOT_MEDIA_UNREADABLE (below 1 kHz,
 *   too), EARSHOT_MEDIA_REFUSED, EARSHOT_ENGINE_MISSING
 */
export async function probeMedia({
  file,
  ffprobe = 'ffprobe',
  signal,
}: {
  file: string
  ffprobe?: string
  signal?: AbortSignal
}): Promise<Probed> {
  const args = [
    '-v',
    'error',
    ...safeInput(file),
    '-show_entries',
    `format=duration,start_time:stream_tags=language:stream=${STREAM_ENTRIES}`,
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
  const slow = sound.find(({ sample_rate }) => sample_rate! > 0 && sample_rate! < LOWEST_RATE)
  if (slow !== undefined)
    throw new EarshotError(
      'EARSHOT_MEDIA_UNREADABLE',
      `The file states a sample rate of ${slow.sample_rate} Hz; no speech can be in that.`,
      { hint: 'Sound from 1000 Hz on is taken. Write the file again with its true sample rate.' },
    )
  return {
    duration_s: durations.length === 0 ? null : Math.max(...durations),
    start_s: format.start_time ?? 0,
    tracks: sound.map(trackOf),
  }
}

function trackOf({ index, channels = 1, channel_layout, tags }: Stream): Track {
  if (channels > MOST_CHANNELS)
    throw new EarshotError(
      'EARSHOT_MEDIA_UNREADABLE',
      `The recording has ${channels} channels; up to ${MOST_CHANNELS} are taken.`,
      { hint: 'Write the channels to several files.' },
    )
  const named = /^[\w.()+]+$/.test(channel_layout ?? '') && channel_layout !== 'unknown'
  const usual = channels <= 1 ? 'mono' : channels === 2 ? 'stereo' : undefined
  const language = tags?.language === 'und' ? undefined : tags?.language
  return {
    index,
    channels: Math.max(1, channels),
    layout: named ? channel_layout : usual,
    language,
  }
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
