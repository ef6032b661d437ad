import { createWriteStream, openAsBlob } from 'node:fs'
import { rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { pipeline } from 'node:stream/promises'
import { EarshotError, type Segment, type Word } from '@earshot/shared/contract'
import { z } from 'zod'
import { toWav } from '../audio/to-wav.ts'
import { isDiskFull } from '../verdict.ts'
import type { Heard, SpeechToText, TextToSpeech } from './engine.ts'
import { type OpenAiServer, connectionError, readJson } from './http.ts'

const Timed = z.object({ start: z.number().nonnegative(), end: z.number().nonnegative() })
const Verbose = z.object({
  text: z.string(),
  language: z.string().nullish(),
  segments: z.array(Timed.extend({ text: z.string(), avg_logprob: z.number().nullish() })).nullish(),
  words: z.array(Timed.extend({ word: z.string() })).nullish(),
})

/** Speech to text by a server; servers that know no times give one segment for all. */
export async function hearWith(server: OpenAiServer, input: Parameters<SpeechToText['transcribe']>[0]): Promise<Heard> {
  try {
    return heardOf(await ask(server, input, 'verbose_json'), input.duration_s)
  } catch (err) {
    // Some models give their text alone, and say so.
    if (!(err instanceof EarshotError) || err.code !== 'EARSHOT_BAD_REQUEST' || !/response_format|timestamp_granularities|verbose_json/.test(err.message)) throw err
    return heardOf(await ask(server, input, 'json'), input.duration_s)
  }
}

async function ask(server: OpenAiServer, { wav, model = '', language, translate, words, prompt, temperature }: Parameters<SpeechToText['transcribe']>[0], format: string): Promise<z.output<typeof Verbose>> {
  const form = new FormData()
  form.set('file', await openAsBlob(wav, { type: 'audio/wav' }), 'audio.wav')
  form.set('model', model)
  form.set('response_format', format)
  if (language !== undefined && translate !== true) form.set('language', language)
  if (prompt !== undefined) form.set('prompt', prompt)
  if (temperature !== undefined) form.set('temperature', String(temperature))
  if (format === 'verbose_json' && translate !== true) {
    form.append('timestamp_granularities[]', 'segment')
    if (words !== false) form.append('timestamp_granularities[]', 'word')
  }
  const answer = await server.post(translate === true ? '/audio/translations' : '/audio/transcriptions', form)
  return readJson(answer, Verbose, server.asking)
}

function heardOf({ text, language, segments, words }: z.output<typeof Verbose>, durationS: number): Heard {
  const as = language ? { language: languageCode(language) } : {}
  const inside = (time: number) => Math.min(time, durationS)
  const heard = (words ?? []).flatMap(({ word, start, end }): Word[] => (word.trim() === '' ? [] : [{ text: word.trim(), start_s: inside(start), end_s: inside(Math.max(start, end)) }]))
  if (segments != null && segments.length > 0) {
    return { words: [], ...as, segments: segments.map(({ text: said, start, end, avg_logprob }): Segment => ({
      start_s: inside(start), end_s: inside(Math.max(start, end)), text: said.trim(), confidence: avg_logprob == null ? null : Math.min(1, Math.exp(avg_logprob)),
      words: heard.filter((word) => word.start_s >= start && word.start_s < end),
    })).filter((segment) => segment.text !== '') }
  }
  if (heard.length > 0) return { words: heard, ...as }
  return { words: [], ...as, segments: text.trim() === '' ? [] : [{ start_s: 0, end_s: durationS, text: text.trim(), confidence: null, words: [] }] }
}

let codes: Map<string, string> | undefined

/** `english`, as some servers say, to `en`. */
function languageCode(name: string): string {
  if (/^[a-z]{2,3}$/.test(name)) return name
  if (codes === undefined) {
    const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' })
    const letters = [...'abcdefghijklmnopqrstuvwxyz']
    codes = new Map(letters.flatMap((a) => letters.map((b) => a + b)).flatMap((code) => {
      const known = names.of(code)
      return known === undefined ? [] : [[known.toLowerCase(), code] as const]
    }))
  }
  return codes.get(name.toLowerCase()) ?? name
}

/** What every server has that follows OpenAI's names. */
const DEFAULT_VOICE = 'alloy'

/** Text to speech by a server. */
export async function speakWith(server: OpenAiServer, { text, voice = DEFAULT_VOICE, model, out, signal }: Parameters<TextToSpeech['speak']>[0]): Promise<{ duration_s: number }> {
  const answer = await server.post('/audio/speech', { model, input: text, voice, response_format: 'wav' }, 'audio/wav')
  const received = `${out}.received`
  if (answer.body === null) throw new EarshotError('EARSHOT_ENGINE_FAILED', `${server.asking.who} gave an empty answer.`)
  try {
    await pipeline(Readable.fromWeb(answer.body as NodeReadableStream), createWriteStream(received)).catch((err: unknown) => {
      throw isDiskFull(err) ? err : connectionError(err, server.asking)
    })
    return await toWav({ file: received, out, signal, who: server.asking.who })
  } finally {
    await rm(received, { force: true })
  }
}
