import type { Segment, Word } from '@earshot/contract'

const PAUSE_S = 0.4
const MOST_WORDS = 60
const MOST_S = 30
const ENDS_SENTENCE = /[.!?…。！？]["'”’)\]]*$/u

/**
 * Heard words to segments, which end at a pause of 0.4 s or more or at a full stop; where neither
 * comes, after 60 words or 30 s. A segment's confidence is the mean of its words', null when none
 * has one. Words keep their order; none is lost.
 *
 * @example
 * wordsToSegments([{ text: 'hello', start_s: 0, end_s: 0.4 }, { text: 'again', start_s: 2, end_s: 2.5 }]).length // 2
 */
export function wordsToSegments(words: readonly Word[]): Segment[] {
  const segments: Segment[] = []
  let open: Word[] = []
  for (const word of words) {
    if (open.length > 0 && endsBefore(word, open)) {
      segments.push(segmentOf(open))
      open = []
    }
    open.push(word)
  }
  if (open.length > 0) segments.push(segmentOf(open))
  return segments
}

function endsBefore(word: Word, open: readonly Word[]): boolean {
  const first = open[0]
  const last = open.at(-1)
  if (first === undefined || last === undefined) return false
  // A billionth forgives what binary fractions do to 2.4 - 2.0.
  return (
    word.start_s - last.end_s >= PAUSE_S - 1e-9 ||
    ENDS_SENTENCE.test(last.text) ||
    open.length >= MOST_WORDS ||
    word.end_s - first.start_s > MOST_S
  )
}

function segmentOf(words: Word[]): Segment {
  const start_s = words[0]?.start_s ?? 0
  const sure = words.flatMap(({ confidence }) => confidence ?? [])
  const confidence =
    sure.length === 0 ? null : Math.min(1, sure.reduce((sum, one) => sum + one, 0) / sure.length)
  const end_s = words.reduce((latest, { end_s }) => Math.max(latest, end_s), start_s)
  return { start_s, end_s, text: words.map(({ text }) => text).join(' '), confidence, words }
}
