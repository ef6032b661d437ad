import type { Word } from '@earshot/shared/contract'

/** Languages that put no space between words: there each token counts as one. */
const UNSPACED = new Set(['zh', 'yue', 'ja', 'th', 'lo', 'km', 'my', 'bo'])
/** What whisper writes for what is no speech: `[_BEG_]`, `[MUSIC]`, `(applause)`. */
const NO_SPEECH = /^\s*(\[[^\]]*\]|\([^)]*\))\s*$/

/**
 * Words from tokens with times (in milliseconds, from the start of a piece): a token that begins with a space begins a word.
 *
 * @param startS where the piece begins, in seconds
 * @param endS where it ends: whisper hears in windows of 30 s, and may tell of what is after the end
 * @example
 * wordsOf([{ text: ' Hel', t0: 0, t1: 200 }, { text: 'lo', t0: 200, t1: 400 }], { startS: 10, endS: 12, language: 'en' }) // [{ text: 'Hello', start_s: 10, end_s: 10.4 }]
 */
export function wordsOf(tokens: readonly { text: string; t0: number; t1: number }[], { startS, endS, language }: { startS: number; endS: number; language: string | undefined }): Word[] {
  const words: Word[] = []
  const inside = (ms: number, least: number) => Math.max(least, Math.min(endS, Math.round(startS * 1000 + ms) / 1000))
  for (const { text, t0, t1 } of tokens) {
    if (text.trim() === '' || NO_SPEECH.test(text)) continue
    const last = words.at(-1)
    if (last !== undefined && !/^\s/.test(text) && !UNSPACED.has(language ?? '')) {
      last.text += text.trimEnd()
      last.end_s = inside(t1, last.end_s)
      continue
    }
    const start_s = inside(t0, last?.end_s ?? startS)
    words.push({ text: text.trim(), start_s, end_s: inside(t1, start_s) })
  }
  return words
}
