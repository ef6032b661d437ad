import type { Segment } from '@earshot/contract'
import { formatTranscript } from '../transcript.ts'

export const RESPONSE_FORMATS = ['json', 'text', 'srt', 'vtt', 'verbose_json'] as const
export type ResponseFormat = (typeof RESPONSE_FORMATS)[number]

/** What a `transcribe` job keeps that makes no document. */
export type Heard = {
  duration_s: number
  language?: string | null
  text?: string
  segments: Segment[]
  engine: string
  model?: string
}

const TYPES: Record<ResponseFormat, string> = {
  json: 'application/json; charset=utf-8',
  verbose_json: 'application/json; charset=utf-8',
  text: 'text/plain; charset=utf-8',
  srt: 'application/x-subrip; charset=utf-8',
  vtt: 'text/vtt; charset=utf-8',
}

/** All that was heard, in one line. */
export const textOf = ({ text, segments }: Heard): string =>
  text ??
  segments
    .map((segment) => segment.text.trim())
    .filter((line) => line !== '')
    .join(' ')

/**
 * What was heard, as OpenAI's protocol writes it; `words` and `segments` are what verbose_json
 * holds.
 */
export function formatHeard(
  heard: Heard,
  format: ResponseFormat,
  options: { task: 'transcribe' | 'translate'; words: boolean; segments: boolean },
): { type: string; body: string } {
  const type = TYPES[format]
  if (format === 'json') return { type, body: JSON.stringify({ text: textOf(heard) }) }
  if (format === 'text') return { type, body: `${textOf(heard)}\n` }
  if (format === 'verbose_json') return { type, body: JSON.stringify(verbose(heard, options)) }
  return {
    type,
    body: formatTranscript(
      { document: { id: 0, title: '', duration_s: heard.duration_s }, segments: heard.segments },
      format,
    ),
  }
}

/** Where Whisper's name of a language, which clients know, is not that of Unicode. */
const WHISPER_NAMES: Readonly<Record<string, string>> = {
  bn: 'bengali',
  mi: 'maori',
  my: 'myanmar',
  nn: 'nynorsk',
  tl: 'tagalog',
}
const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' })

/** `en` is `english` in verbose_json, as OpenAI has it. */
function languageName(code: string | null | undefined): string {
  const short = /^[a-z]{2,3}/i.exec(code ?? '')?.[0].toLowerCase()
  if (short === undefined) return 'unknown'
  return WHISPER_NAMES[short] ?? names.of(short)?.toLowerCase() ?? short
}

/**
 * Figures that only Whisper has (`avg_logprob` and its like) are neutral: clients read them, none
 * of ours are measured.
 */
function verbose(
  heard: Heard,
  { task, words, segments }: { task: string; words: boolean; segments: boolean },
) {
  return {
    task,
    language: languageName(heard.language),
    duration: heard.duration_s,
    text: textOf(heard),
    model: heard.model ?? heard.engine,
    ...(segments && {
      segments: heard.segments.map(({ start_s: start, end_s: end, text, confidence }, id) => ({
        id,
        seek: 0,
        start: start ?? 0,
        end: end ?? 0,
        text,
        tokens: [],
        temperature: 0,
        avg_logprob: confidence === null ? 0 : Math.log(Math.max(confidence, 1e-6)),
        compression_ratio: 1,
        no_speech_prob: 0,
      })),
    }),
    ...(words && {
      words: heard.segments.flatMap((segment) =>
        segment.words.map(({ text: word, start_s: start, end_s: end }) => ({ word, start, end })),
      ),
    }),
  }
}
