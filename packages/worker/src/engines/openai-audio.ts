import { createWriteStream, openAsBlob } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { pipeline } from 'node:stream/promises'
import { EarshotError, type Segment, type Word } from '@earshot/contract'
import { z } from 'zod'
import { type AudioPiece, piecesOf } from '../audio/pieces.ts'
import { toWav } from '../audio/to-wav.ts'
import { BYTES_PER_S, wavHeader } from '../audio/wav.ts'
import { wordsToSegments } from '../text/segments.ts'
import { isDiskFull } from '../verdict.ts'
import type { Heard, SpeechToText, TextToSpeech } from './engine.ts'
import { type OpenAiServer, connectionError, readJson } from './http.ts'

const Timed = z.object({ start: z.number().nonnegative(), end: z.number().nonnegative() })
const Verbose = z.object({
  text: z.string(),
  language: z.string().nullish(),
  segments: z
    .array(Timed.extend({ text: z.string(), avg_logprob: z.number().nullish() }))
    .nullish(),
  words: z.array(Timed.extend({ word: z.string() })).nullish(),
})

type Hearing = Parameters<SpeechToText['transcribe']>[0]

/**
 * Speech to text by a server, in pieces of up to ten minutes: so there is progress, and no answer
 * is waited for too long. Servers that know no times give one segment a piece.
 */
export async function hearWith(server: OpenAiServer, input: Hearing): Promise<Heard> {
  const segments: Segment[] = []
  let language: string | undefined
  for await (const piece of piecesOf(input.wav, (await stat(input.wav)).size)) {
    const durationS = piece.bytes / BYTES_PER_S
    const heard = await hearPiece(server, input, await blobOf(input.wav, piece), durationS)
    const some = (heard.segments ?? wordsToSegments(heard.words)).map((segment) =>
      later(segment, piece.start_s),
    )
    language ??= heard.language
    segments.push(...some)
    input.onHeard?.(some)
    input.onProgress?.(
      Math.min(1, (piece.start_s + durationS) / Math.max(input.duration_s, durationS)),
    )
  }
  return { words: [], segments, ...(language === undefined ? {} : { language }) }
}

async function blobOf(wav: string, { from, bytes }: AudioPiece): Promise<Blob> {
  const source = await openAsBlob(wav)
  return new Blob([new Uint8Array(wavHeader(bytes)), source.slice(from, from + bytes)], {
    type: 'audio/wav',
  })
}

function later(segment: Segment, byS: number): Segment {
  const at = (time: number) => Math.round((time + byS) * 1000) / 1000
  return {
    ...segment,
    start_s: segment.start_s === null ? null : at(segment.start_s),
    end_s: segment.end_s === null ? null : at(segment.end_s),
    words: segment.words.map((word) => ({
      ...word,
      start_s: at(word.start_s),
      end_s: at(word.end_s),
    })),
  }
}

async function hearPiece(
  server: OpenAiServer,
  input: Hearing,
  file: Blob,
  durationS: number,
): Promise<Heard> {
  try {
    return heardOf(await ask(server, input, file, 'verbose_json'), durationS)
  } catch (err) {
    // Some models give their text alone, and say so.
    if (
      !(err instanceof EarshotError) ||
      err.code !== 'EARSHOT_BAD_REQUEST' ||
      !/response_format|timestamp_granularities|verbose_json/.test(err.message)
    )
      throw err
    return heardOf(await ask(server, input, file, 'json'), durationS)
  }
}

async function ask(
  server: OpenAiServer,
  { model = '', language, translate, words, prompt, temperature }: Hearing,
  file: Blob,
  format: string,
): Promise<z.output<typeof Verbose>> {
  const form = new FormData()
  form.set('file', file, 'audio.wav')
  form.set('model', model)
  form.set('response_format', format)
  if (language !== undefined && translate !== true) form.set('language', language)
  if (prompt !== undefined) form.set('prompt', prompt)
  if (temperature !== undefined) form.set('temperature', String(temperature))
  if (format === 'verbose_json' && translate !== true) {
    form.append('timestamp_granularities[]', 'segment')
    if (words !== false) form.append('timestamp_granularities[]', 'word')
  }
  const answer = await (translate === true
    ? translated(server, form)
    : server.post('/audio/transcriptions', form))
  return readJson(answer, Verbose, server.asking)
}

/**
 * Many servers hear, and have no such route: a matter of what was asked, and none of a node that
 * does all else.
 */
async function translated(server: OpenAiServer, form: FormData): Promise<Response> {
  return await server.post('/audio/translations', form).catch((err: unknown) => {
    if (
      !(err instanceof EarshotError) ||
      err.code !== 'EARSHOT_ENGINE_MISSING' ||
      !/answered (404|405)/.test(err.message) ||
      /\bmodel\b/i.test(err.message)
    )
      throw err
    throw new EarshotError('EARSHOT_BAD_REQUEST', `${server.asking.who} does not translate.`, {
      cause: err,
      field: 'model',
      hint: 'Ask for another model.',
    })
  })
}

function heardOf(
  { text, language, segments, words }: z.output<typeof Verbose>,
  durationS: number,
): Heard {
  const as = language ? { language: languageCode(language) } : {}
  const inside = (time: number) => Math.min(time, durationS)
  const heard = (words ?? []).flatMap(({ word, start, end }): Word[] =>
    word.trim() === ''
      ? []
      : [{ text: word.trim(), start_s: inside(start), end_s: inside(Math.max(start, end)) }],
  )
  if (segments != null && segments.length > 0) {
    return {
      words: [],
      ...as,
      segments: segments
        .map(({ text: said, start, end, avg_logprob }): Segment => ({
          start_s: inside(start),
          end_s: inside(Math.max(start, end)),
          text: said.trim(),
          confidence: avg_logprob == null ? null : Math.min(1, Math.exp(avg_logprob)),
          words: heard.filter((word) => word.start_s >= start && word.start_s < end),
        }))
        .filter((segment) => segment.text !== ''),
    }
  }
  if (heard.length > 0) return { words: heard, ...as }
  return {
    words: [],
    ...as,
    segments:
      text.trim() === ''
        ? []
        : [{ start_s: 0, end_s: durationS, text: text.trim(), confidence: null, words: [] }],
  }
}

let codes: Map<string, string> | undefined

/** `english`, as some servers say, to `en`. */
function languageCode(name: string): string {
  if (/^[a-z]{2,3}$/.test(name)) return name
  if (codes === undefined) {
    const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' })
    const letters = [...'abcdefghijklmnopqrstuvwxyz']
    codes = new Map(
      letters
        .flatMap((a) => letters.map((b) => a + b))
        .flatMap((code) => {
          const known = names.of(code)
          return known === undefined ? [] : [[known.toLowerCase(), code] as const]
        }),
    )
  }
  return codes.get(name.toLowerCase()) ?? name
}

/** What every server has that follows OpenAI's names. */
const DEFAULT_VOICE = 'alloy'

/** Text to speech by a server. */
export async function speakWith(
  server: OpenAiServer,
  { text, voice = DEFAULT_VOICE, model, out, signal }: Parameters<TextToSpeech['speak']>[0],
): Promise<{ duration_s: number }> {
  const answer = await server.post(
    '/audio/speech',
    { model, input: text, voice, response_format: 'wav' },
    'audio/wav',
  )
  const received = `${out}.received`
  if (answer.body === null)
    throw new EarshotError('EARSHOT_ENGINE_FAILED', `${server.asking.who} gave an empty answer.`)
  try {
    await pipeline(
      Readable.fromWeb(answer.body as NodeReadableStream),
      createWriteStream(received),
    ).catch((err: unknown) => {
      throw isDiskFull(err) ? err : connectionError(err, server.asking)
    })
    return await toWav({ file: received, out, signal, who: server.asking.who })
  } finally {
    await rm(received, { force: true })
  }
}
