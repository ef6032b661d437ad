import type { Chunk, Segment } from '@earshot/contract'
import { countWords, cutWords } from './words.ts'

export type Piece = Pick<Chunk, 'start_s' | 'end_s' | 'text'>
type Part = Piece & { words: number }

/** A chunk is closed from here on. */
const ENOUGH_WORDS = 120
const MOST_WORDS = 200
/**
 * Longer segments are cut, so that one of them as overlap and the next always fit into a chunk
 * together.
 */
const MOST_SEGMENT_WORDS = 100

/**
 * Segments to the pieces that are embedded: whole segments, 60 to 200 words (only a document's last
 * or only piece may be shorter), each piece beginning with the last segment of the one before.
 *
 * A segment of more than 100 words is first cut into equal parts, which then count as segments:
 * between its words where they have times, otherwise between words of the text, with times in
 * proportion to the length of the text.
 *
 * @example
 * segmentsToChunks([{ start_s: 0, end_s: 2, text: 'hello there', confidence: null, words: [] }]) // [{ start_s: 0, end_s: 2, text: 'hello there' }]
 */
export function segmentsToChunks(segments: readonly Segment[]): Piece[] {
  const chunks: Part[][] = []
  let open: Part[] = []
  /** Whether `open` holds more than the overlap. */
  let fresh = false
  for (const part of segments.flatMap(partsOf)) {
    const words = wordsIn(open)
    if (fresh && (words >= ENOUGH_WORDS || words + part.words > MOST_WORDS)) {
      chunks.push(open)
      open = open.slice(-1)
    }
    open.push(part)
    fresh = true
  }
  if (fresh) chunks.push(open)
  return chunks.map(pieceOf)
}

function wordsIn(parts: readonly Part[]): number {
  return parts.reduce((sum, { words }) => sum + words, 0)
}

function partsOf(segment: Segment): Part[] {
  const words = countWords(segment.text)
  if (words === 0) return []
  const { start_s, end_s, text } = segment
  if (words <= MOST_SEGMENT_WORDS) return [{ start_s, end_s, text, words }]
  return segment.words.length === 0 ? cutText(segment) : cutHeard(segment, words)
}

function cutHeard({ words }: Segment, count: number): Part[] {
  const parts = Math.ceil(count / MOST_SEGMENT_WORDS)
  return Array.from({ length: parts }, (_, i) => {
    const own = words.slice(
      Math.floor((i * words.length) / parts),
      Math.floor(((i + 1) * words.length) / parts),
    )
    const text = own.map((word) => word.text).join(' ')
    return {
      start_s: own[0]?.start_s ?? null,
      end_s: own.at(-1)?.end_s ?? null,
      text,
      words: countWords(text),
    }
  }).filter(({ words }) => words > 0)
}

function cutText({ start_s, end_s, text }: Segment): Part[] {
  let done = 0
  const parts = cutWords(text, MOST_SEGMENT_WORDS)
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const timeAt = (at: number) =>
    start_s === null || end_s === null ? null : start_s + ((end_s - start_s) * at) / length
  return parts.map((part) => {
    const from = timeAt(done)
    done += part.length
    return { start_s: from, end_s: timeAt(done), text: part, words: countWords(part) }
  })
}

function pieceOf(parts: readonly Part[]): Piece {
  return {
    start_s: parts[0]?.start_s ?? null,
    end_s: parts.at(-1)?.end_s ?? null,
    text: parts.map(({ text }) => text).join('\n'),
  }
}
