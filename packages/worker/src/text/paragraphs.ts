import { readFile, stat } from 'node:fs/promises'
import { EarshotError, type Segment } from '@earshot/contract'
import { countWords, cutWords } from './words.ts'

const MOST_BYTES = 20 * 2 ** 20
/** As chunks take it; see chunks.ts. */
const MOST_WORDS = 100

/**
 * Reads a plain text file as segments without times, one a paragraph (paragraphs are parted by empty lines); a
 * paragraph of more than 100 words is cut at ends of sentences, and a longer sentence between words. UTF-8, with or
 * without a byte order mark, and UTF-16 with one; what is neither is read as Windows-1252, of which Latin-1 is a part.
 *
 * @throws EarshotError EARSHOT_MEDIA_EMPTY, EARSHOT_MEDIA_UNREADABLE (binary), EARSHOT_TOO_LARGE (over 20 MiB)
 * @example
 * const segments = await readParagraphs('/tmp/notes.txt')
 */
export async function readParagraphs(file: string): Promise<Segment[]> {
  const { size } = await stat(file)
  if (size > MOST_BYTES) {
    throw new EarshotError(
      'EARSHOT_TOO_LARGE',
      `The text has ${Math.ceil(size / 2 ** 20)} MiB; up to ${MOST_BYTES / 2 ** 20} MiB are read.`,
      { hint: 'Split it into several files.' },
    )
  }
  const segments = splitParagraphs(decodeText(await readFile(file)))
  if (segments.length === 0)
    throw new EarshotError('EARSHOT_MEDIA_EMPTY', 'The file is empty or holds nothing but blanks.')
  return segments
}

/** Bytes to text; see {@link readParagraphs} for the encodings. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe)
    return checked(new TextDecoder('utf-16le').decode(bytes))
  if (bytes[0] === 0xfe && bytes[1] === 0xff)
    return checked(new TextDecoder('utf-16be').decode(bytes))
  return checked(decodeUtf8(bytes) ?? new TextDecoder('windows-1252').decode(bytes))
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    // Not UTF-8: that is the question which was asked.
    return null
  }
}

/** Texts hold tabs, line ends, form feeds, and here and there an escape; a NUL, or many control codes, means a binary. */
function checked(text: string): string {
  const control = text.match(/[\u0000-\u0008\u000e-\u001f\u007f\ufffd]/g)?.length ?? 0
  if (text.includes('\0') || control > text.length / 100) {
    throw new EarshotError(
      'EARSHOT_MEDIA_UNREADABLE',
      'The file is named as a text but holds binary data.',
    )
  }
  return text
}

function splitParagraphs(text: string): Segment[] {
  return text
    .split(/(?:\r\n|\r(?!\n)|\n|\u2029)[^\S\r\n\f\u2029]*(?:\r\n|\r(?!\n)|\n)|\u2029|\f/)
    .map((paragraph) => paragraph.replace(/\s+/g, ' ').trim())
    .flatMap((paragraph) =>
      countWords(paragraph) > MOST_WORDS ? splitSentences(paragraph) : [paragraph],
    )
    .filter((paragraph) => paragraph !== '')
    .map((paragraph) => ({
      start_s: null,
      end_s: null,
      text: paragraph,
      confidence: null,
      words: [],
    }))
}

function splitSentences(paragraph: string): string[] {
  const parts: string[] = []
  let open = ''
  for (const sentence of sentencesOf(paragraph)) {
    const joined = open === '' ? sentence : `${open} ${sentence}`
    if (open !== '' && countWords(joined) > MOST_WORDS) {
      parts.push(open)
      open = sentence
    } else open = joined
  }
  return [...parts, open].flatMap((part) => cutWords(part, MOST_WORDS))
}

/** Cut after each end of a sentence; in scripts without spaces nothing follows it. */
function sentencesOf(paragraph: string): string[] {
  const ends = paragraph.matchAll(/[.!?…]["'”’)\]]*\s+|[。！？]/gu)
  const sentences: string[] = []
  let from = 0
  for (const end of ends) {
    const to = end.index + end[0].length
    sentences.push(paragraph.slice(from, to).trimEnd())
    from = to
  }
  return [...sentences, paragraph.slice(from)].filter((sentence) => sentence !== '')
}
