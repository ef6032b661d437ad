import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import { endedBadly, runProgram } from '../process/run-program.ts'
import { refusePlaylist } from './formats.ts'
import { createMeter, type Level } from './level.ts'
import { createMixer, WINDOW } from './mix.ts'
import { type Probed, probeMedia, safeInput, type Track, unreadable } from './probe.ts'
import { BYTES_PER_S, HEADER_BYTES, SAMPLE_RATE, wavHeader } from './wav.ts'
import { readWavTail } from './wav-tail.ts'

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

export type Decoded = {
  /** In seconds. */
  duration_s: number
  /** Of the WAV file, in bytes. */
  size: number
  /** RMS of the loudest moments, in dB of full scale, before faint speech was lifted. */
  level_db: number
  /** It is so quiet throughout that no speech can be in it. */
  silent: boolean
  /** What is odd about the recording, a sentence each. */
  warnings: string[]
}

const QUIET_LIMIT_S = 120
const MEMORY_MB = 2048
const SHORTEST_S = 0.05
const MOST_TRACKS = 16
const FULL_SCALE = 32_768

/**
 * Decodes any media file to a 16 kHz mono 16-bit WAV file, with ffmpeg in a child process that
 * opens this file and no other, no address and no playlist, under limits of processor time, memory
 * and output. A damaged file is decoded as far as it goes.
 *
 * A moment in the WAV file is the same moment in the recording: where a track begins late or has a
 * gap there is silence. All channels and tracks are mixed so that none is lost; of tracks in
 * several languages, those in the language of the first one with sound. Faint speech is lifted.
 *
 * @param maxDurationS longer recordings are refused, 12 hours when not given
 * @throws EarshotError EARSHOT_MEDIA_EMPTY, EARSHOT_MEDIA_UNREADABLE, EARSHOT_MEDIA_REFUSED,
 *   EARSHOT_MEDIA_TOO_LONG, EARSHOT_DISK_FULL, EARSHOT_ENGINE_MISSING, EARSHOT_ENGINE_FAILED
 *   (ffmpeg hung); the signal's reason on abort
 * @example
 * const { duration_s } = await decode({ file: '/media/talk.mp3', out: '/tmp/job/audio.wav' })
 */
export async function decode(options: DecodeOptions): Promise<Decoded> {
  const { file, out, maxDurationS = 43_200, signal, onProgress, programs = {} } = options
  const source = path.resolve(file)
  await refusePlaylist(source)
  const probed = await probeMedia({ file: source, signal, ffprobe: programs.ffprobe })
  const stated = probed.duration_s
  if (stated !== null && stated > maxDurationS) throw tooLong(maxDurationS, stated)
  const tail = await readWavTail(source)
  const warnings = tail === undefined ? [] : [tail.warning]
  const tracks = probed.tracks.slice(0, MOST_TRACKS)
  if (tracks.length < probed.tracks.length)
    warnings.push(
      `The recording has ${probed.tracks.length} tracks; the first ${MOST_TRACKS} were transcribed.`,
    )

  const decodeOne = (track: Track, to: string, done: number): Promise<Mono> =>
    decodeTrack({
      source,
      input: tail?.decodable === true ? ['-ignore_length', '1'] : [],
      out: to,
      track,
      probed,
      maxDurationS,
      signal,
      onProgress: (part) => onProgress?.((done + part) / tracks.length),
      ffmpeg: programs.ffmpeg ?? 'ffmpeg',
    })
  const mono =
    tracks.length === 1
      ? await decodeOne(tracks[0]!, out, 0)
      : await decodeTracks(tracks, out, decodeOne, warnings, signal)
  if (mono.level.gain !== 1) await lift(out, mono.level.gain, signal)
  onProgress?.(1)
  const { level_db, silent } = mono.level
  return { duration_s: mono.duration_s, size: mono.size, level_db, silent, warnings }
}

/** A finished WAV file. */
type Mono = { file: string; duration_s: number; size: number; level: Level }

/** Each track to a file of its own, then those that belong together to one. */
async function decodeTracks(
  tracks: Track[],
  out: string,
  decodeOne: (track: Track, to: string, done: number) => Promise<Mono>,
  warnings: string[],
  signal: AbortSignal | undefined,
): Promise<Mono> {
  const files = tracks.map((_, at) => `${out}.track${at}`)
  try {
    const decoded: Array<Mono & { track: Track }> = []
    let failure: unknown
    let language: string | undefined
    for (const [at, track] of tracks.entries()) {
      if (isOther(track.language, language)) {
        warnings.push(
          `Track ${at + 1} was left out: it is in another language (${track.language}) than those before it (${language}).`,
        )
        continue
      }
      try {
        const mono = await decodeOne(track, files[at]!, at)
        decoded.push({ ...mono, track })
        if (!mono.level.silent) language ??= track.language
      } catch (err) {
        if (!isOfTheFile(err)) throw err
        failure ??= err
        warnings.push(`Track ${at + 1} could not be read: ${err.message}`)
      }
    }
    if (decoded.length === 0) throw failure
    // A silent one of another language may stand before the first that has sound.
    const kept = decoded.filter((one) => !isOther(one.track.language, language))
    if (kept.length > 1) return await mixFiles(kept, out, signal)
    await rename(kept[0]!.file, out)
    return { ...kept[0]!, file: out }
  } finally {
    await Promise.all(files.map((file) => rm(file, { force: true })))
  }
}

const isOther = (one: string | undefined, other: string | undefined): boolean =>
  one !== undefined && other !== undefined && one !== other

const isOfTheFile = (err: unknown): err is EarshotError =>
  err instanceof EarshotError &&
  (err.code === 'EARSHOT_MEDIA_UNREADABLE' || err.code === 'EARSHOT_MEDIA_EMPTY')

/** One track with all its channels. */
async function decodeTrack({
  source,
  input,
  out,
  track,
  probed,
  maxDurationS,
  signal,
  onProgress,
  ffmpeg,
}: {
  source: string
  input: string[]
  out: string
  track: Track
  probed: Probed
  maxDurationS: number
  signal: AbortSignal | undefined
  onProgress: (fraction: number) => void
  ffmpeg: string
}): Promise<Mono> {
  const writer = await openWav(out)
  try {
    const mix = createMixer(track.channels)
    const windows = cutWindows(track.channels)
    const write = async (window: Float32Array) => writer.write(mix(window))
    const ended = await runProgram({
      program: ffmpeg,
      args: [
        '-nostdin',
        '-hide_banner',
        '-v',
        'error',
        '-nostats',
        // The time stamps as they are: ffmpeg's own idea of the start leaves out other tracks.
        '-copyts',
        '-max_error_rate',
        '1',
        ...safeInput(source, input),
        '-map',
        `0:${track.index}`,
        '-map_metadata',
        '-1',
        '-af',
        filters(track, probed, maxDurationS),
        // One second more than allowed, which tells a recording of just the limit from a longer
        // one.
        '-t',
        String(maxDurationS + 1),
        '-c:a',
        'pcm_f32le',
        '-f',
        'f32le',
        'pipe:1',
      ],
      signal,
      quietLimitS: QUIET_LIMIT_S,
      limits: { cpuS: 120 + maxDurationS / 20, memoryMb: MEMORY_MB },
      onBytes: async (bytes) => {
        for (const window of windows.take(bytes)) await write(window)
        if (writer.duration_s() > maxDurationS) throw tooLong(maxDurationS, null)
        if (probed.duration_s) onProgress(Math.min(1, writer.duration_s() / probed.duration_s))
      },
    })
    const failure = endedBadly('ffmpeg', ended)
    if (ended.code === null)
      throw new EarshotError(
        'EARSHOT_MEDIA_UNREADABLE',
        `The file could not be decoded within the limits of time and memory: ${failure.message}`,
      )
    await write(windows.rest())
    if (writer.duration_s() > maxDurationS) throw tooLong(maxDurationS, null)
    if (writer.duration_s() < SHORTEST_S)
      throw ended.code === 0
        ? new EarshotError('EARSHOT_MEDIA_EMPTY', 'The file holds no sound: it lasts 0 seconds.')
        : unreadable(ended.stderr)
    return await writer.finish()
  } catch (err) {
    throw diskFull(err) ?? err
  } finally {
    await writer.close()
  }
}

/**
 * Sound to where its time stamps say, from the start of the recording on. Stamps that jump back
 * (files put behind each other) or past the longest recording go on from where the sound is.
 */
function filters({ layout }: Track, { start_s, duration_s }: Probed, maxDurationS: number): string {
  const longest = Math.min(maxDurationS, duration_s === null ? Infinity : duration_s + 1)
  // In units of the time base. 1: where the sound so far ends; 2: what is added to the stamps.
  const stamp = `st(0,PTS-${start_s}/TB+ld(2))`
  const isJump = `lt(ld(0),ld(1)-0.5/TB)+gt(ld(0),max(ld(1)+1/TB,${longest}/TB))`
  const goOn = `st(2,ld(2)+ld(1)-ld(0));st(0,ld(1))`
  const end = `st(1,ld(0)+NB_SAMPLES/SR/TB)`
  return [
    `asetpts='${stamp};if(${isJump},${goOn});${end};ld(0)'`,
    // Drift is stretched away, a gap is filled. Without `res`, a file of 16 kHz gets its resampler
    // in the middle, which forgets where it was.
    `aresample=${SAMPLE_RATE}:async=1000:min_comp=0.02:min_hard_comp=0.1:first_pts=0:flags=res`,
    `aformat=sample_fmts=flt${layout === undefined ? '' : `:channel_layouts=${layout}`}`,
  ].join(',')
}

/** Bytes of interleaved 32-bit samples, cut to windows. */
function cutWindows(channels: number): {
  take(bytes: Buffer): Generator<Float32Array>
  rest(): Float32Array
} {
  const window = Buffer.alloc(WINDOW * channels * 4)
  const samples = new Float32Array(window.buffer, window.byteOffset, WINDOW * channels)
  let filled = 0
  return {
    *take(bytes) {
      for (let from = 0; from < bytes.length;) {
        const copied = bytes.copy(window, filled, from)
        from += copied
        filled += copied
        if (filled < window.length) continue
        filled = 0
        yield samples
      }
    },
    rest: () => samples.subarray(0, Math.floor(filled / 4 / channels) * channels),
  }
}

/** Mixes WAV files of one beginning to one as long as the longest. */
async function mixFiles(
  tracks: Mono[],
  out: string,
  signal: AbortSignal | undefined,
): Promise<Mono> {
  const writer = await openWav(out)
  const handles: FileHandle[] = []
  try {
    for (const { file } of tracks) handles.push(await open(file))
    const mix = createMixer(tracks.length)
    const size = Math.max(...tracks.map((track) => track.size))
    const block = Buffer.alloc(WINDOW * 2)
    for (let at = HEADER_BYTES; at < size; at += block.length) {
      signal?.throwIfAborted()
      const length = Math.min(block.length, size - at) / 2
      const window = new Float32Array(length * handles.length)
      for (const [channel, handle] of handles.entries()) {
        const { bytesRead } = await handle.read(block, 0, length * 2, at)
        for (let i = 0; i < bytesRead >> 1; i++)
          window[i * handles.length + channel] = block.readInt16LE(i * 2) / FULL_SCALE
      }
      await writer.write(mix(window))
    }
    return await writer.finish()
  } catch (err) {
    throw diskFull(err) ?? err
  } finally {
    await Promise.all([writer.close(), ...handles.map((handle) => handle.close())])
  }
}

/** Writes samples from −1 to 1 as a WAV file and measures their level. */
async function openWav(file: string): Promise<{
  write(samples: Float32Array): Promise<void>
  duration_s(): number
  finish(): Promise<Mono>
  close(): Promise<void>
}> {
  const handle = await open(file, 'w')
  const meter = createMeter()
  let size = HEADER_BYTES
  return {
    async write(samples) {
      meter.add(samples)
      const bytes = Buffer.alloc(samples.length * 2)
      for (let i = 0; i < samples.length; i++)
        bytes.writeInt16LE(clamp(samples[i]! * FULL_SCALE), i * 2)
      await handle.write(bytes, 0, bytes.length, size)
      size += bytes.length
    },
    duration_s: () => (size - HEADER_BYTES) / BYTES_PER_S,
    async finish() {
      await handle.write(wavHeader(size - HEADER_BYTES), 0, HEADER_BYTES, 0)
      return {
        file,
        duration_s: (size - HEADER_BYTES) / BYTES_PER_S,
        size,
        level: meter.read(),
      }
    },
    close: () => handle.close(),
  }
}

/** Multiplies all samples of a WAV file that {@link openWav} wrote. */
async function lift(file: string, gain: number, signal: AbortSignal | undefined): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    const block = Buffer.alloc(2 * BYTES_PER_S)
    for (let at = HEADER_BYTES; ; at += block.length) {
      signal?.throwIfAborted()
      const { bytesRead } = await handle.read(block, 0, block.length, at)
      if (bytesRead === 0) break
      for (let i = 0; i + 1 < bytesRead; i += 2)
        block.writeInt16LE(clamp(block.readInt16LE(i) * gain), i)
      await handle.write(block, 0, bytesRead, at)
    }
  } finally {
    await handle.close()
  }
}

/** To 16 bits; what is no number, as damaged floating-point files have it, to silence. */
const clamp = (sample: number): number =>
  Number.isNaN(sample) ? 0 : Math.max(-FULL_SCALE, Math.min(FULL_SCALE - 1, Math.round(sample)))

function diskFull(err: unknown): EarshotError | undefined {
  return (err as NodeJS.ErrnoException).code === 'ENOSPC'
    ? new EarshotError(
        'EARSHOT_DISK_FULL',
        'The disk is full: the decoded recording could not be written.',
        { cause: err },
      )
    : undefined
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
