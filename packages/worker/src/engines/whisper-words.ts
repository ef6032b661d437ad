import { trimEndOf } from '@earshot/contract'
import type { Segment, Word } from '@earshot/contract'

/** Languages that put no space between words: there each token counts as one. */
export const UNSPACED: ReadonlySet<string> = new Set([
  'zh',
  'yue',
  'ja',
  'th',
  'lo',
  'km',
  'my',
  'bo',
])
/**
 * What whisper writes for what is no speech: `[_BEG_]`, `[BLANK_AUDIO]`, `(upbeat music)`. It comes
 * in several tokens.
 */
const NO_SPEECH = /\[[^[\]]*\]|\([^()]*\)/g
const MOST_NO_SPEECH_WORDS = 8

/**
 * Words from tokens with times (in milliseconds, from the start of a piece): a token that begins
 * with a space begins a word.
 *
 * @param startS where the piece begins, in seconds
 * @param endS where it ends: whisper hears in windows of 30 s, and may tell of what is after the
 *   end
 * @example
 * wordsOf([{ text: ' Hel', t0: 0, t1: 200 }, { text: 'lo', t0: 200, t1: 400 }], { startS: 10, endS: 12, language: 'en' }) // [{ text: 'Hello', start_s: 10, end_s: 10.4 }]
 */
export function wordsOf(
  tokens: readonly { text: string; t0: number; t1: number }[],
  { startS, endS, language }: { startS: number; endS: number; language: string | undefined },
): Word[] {
  const words: Word[] = []
  const inside = (ms: number, least: number) =>
    Math.max(least, Math.min(endS, Math.round(startS * 1000 + ms) / 1000))
  for (const { text, t0, t1 } of tokens) {
    if (text.trim() === '') continue
    const last = words.at(-1)
    if (last !== undefined && !/^[\s[(]/.test(text) && !UNSPACED.has(language ?? '')) {
      last.text += text.trimEnd()
      last.end_s = inside(t1, last.end_s)
      continue
    }
    const start_s = inside(t0, last?.end_s ?? startS)
    words.push({ text: text.trim(), start_s, end_s: inside(t1, start_s) })
  }
  return withoutNoise(words)
}

/**
 * Leaves out what stands in brackets, from the word that opens them to the one that closes them.
 */
function withoutNoise(words: readonly Word[]): Word[] {
  const kept: Word[] = []
  for (let at = 0; at < words.length; at += 1) {
    const closing = { '[': ']', '(': ')' }[words[at]!.text[0] ?? '']
    const length =
      closing === undefined
        ? -1
        : words
            .slice(at, at + MOST_NO_SPEECH_WORDS)
            .findIndex(({ text }) => trimEndOf(text, '.,!?').endsWith(closing))
    if (length < 0) kept.push(words[at]!)
    else at += length
  }
  return kept
}

/**
 * Segments as whisper cuts them, without words of their own: for languages of which a character may
 * be several tokens.
 *
 * @param startS where the piece begins, in seconds; `endS` where it ends
 */
export function segmentsOf(
  heard: readonly { text: string; t0: number; t1: number }[],
  { startS, endS }: { startS: number; endS: number },
): Segment[] {
  const inside = (ms: number) => Math.min(endS, Math.round(startS * 1000 + ms) / 1000)
  return heard.flatMap(({ text, t0, t1 }): Segment[] => {
    const said = text.replace(NO_SPEECH, '').replace(/\s+/g, ' ').trim()
    return said === ''
      ? []
      : [
          {
            start_s: inside(t0),
            end_s: inside(Math.max(t0, t1)),
            text: said,
            confidence: null,
            words: [],
          },
        ]
  })
}
