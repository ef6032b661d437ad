import { readFile, stat } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { EarshotError, type ErrorCode, type Segment } from '@earshot/contract'
import { siblingModule } from '@earshot/db/sibling-module'
import { countWords, cutWords } from './words.ts'

const MOST_BYTES = 20 * 2 ** 20
/** More would keep the main thread busy for seconds. */
const MOST_PARAGRAPHS = 500_000
/** Ordinary text of 20 MiB takes a few seconds. */
const LIMIT_MS = 120_000
/** As chunks take it; see chunks.ts. */
const MOST_WORDS = 100

/**
 * Reads a plain text file as segments without times, one a paragraph (paragraphs are parted by
 * empty lines); a paragraph of more than 100 words is cut at ends of sentences, and a longer
 * sentence between words. UTF-8, with or without a byte order mark, and UTF-16 with one; what is
 * neither is read as Windows-1252, of which Latin-1 is a part. A thread of its own reads it, so
 * that a text which takes long stops nothing else.
 *
 * @param options.signal ends the thread; @param options.limitMs the longest it may take, in
 *   milliseconds
 * @throws EarshotError EARSHOT_MEDIA_EMPTY, EARSHOT_MEDIA_UNREADABLE (binary, or not read in time),
 *   EARSHOT_TOO_LARGE (over 20 MiB, or over 500,000 paragraphs)
 * @example
 * const segments = await readParagraphs('/tmp/notes.txt')
 */
export async function readParagraphs(
  file: string,
  { signal, limitMs = LIMIT_MS }: { signal?: AbortSignal; limitMs?: number } = {},
): Promise<Segment[]> {
  signal?.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<string[]>()
  const thread = new Worker(siblingModule(import.meta.url, 'paragraphs-thread'), {
    workerData: file,
    execArgv: [],
  })
  const stop = () => reject(signal!.reason)
  signal?.addEventListener('abort', stop)
  const late = setTimeout(() => reject(tooSlow(limitMs)), limitMs)
  thread.on('message', (said: FromThread) => {
    if ('paragraphs' in said) resolve(said.paragraphs)
    else reject(new EarshotError(said.refused.code, said.refused.message, said.refused))
  })
  thread.on('error', reject)
  thread.on('exit', (code) => reject(new Error(`The thread that read the text ended with ${code}`)))
  try {
    return (await promise).map((text) => ({
      start_s: null,
      end_s: null,
      text,
      confidence: null,
      words: [],
    }))
  } finally {
    clearTimeout(late)
    signal?.removeEventListener('abort', stop)
    await thread.terminate()
  }
}

/** What the thread answers. */
export type FromThread =
  | { paragraphs: string[] }
  | { refused: { code: ErrorCode; message: string; hint: string | undefined } }

const tooSlow = (limitMs: number) =>
  new EarshotError(
    'EARSHOT_MEDIA_UNREADABLE',
    `The text could not be read within ${limitMs / 1000} s.`,
    { hint: 'Split it into several files.' },
  )

/** What the thread does; see {@link readParagraphs}. */
export async function splitFile(file: string): Promise<string[]> {
  const { size } = await stat(file)
  if (size > MOST_BYTES) {
    throw new EarshotError(
      'EARSHOT_TOO_LARGE',
      `The text has ${Math.ceil(size / 2 ** 20)} MiB; up to ${MOST_BYTES / 2 ** 20} MiB are read.`,
      { hint: 'Split it into several files.' },
    )
  }
  const paragraphs = splitParagraphs(decodeText(await readFile(file)))
  if (paragraphs.length === 0)
    throw new EarshotError('EARSHOT_MEDIA_EMPTY', 'The file is empty or holds nothing but blanks.')
  if (paragraphs.length > MOST_PARAGRAPHS) {
    throw new EarshotError(
      'EARSHOT_TOO_LARGE',
      `The text has ${paragraphs.length} paragraphs; up to ${MOST_PARAGRAPHS} are read.`,
      { hint: 'Split it into several files.' },
    )
  }
  return paragraphs
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

/**
 * Texts hold tabs, line ends, form feeds, and here and there an escape; a NUL, or many control
 * codes, means a binary.
 */
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

function splitParagraphs(text: string): string[] {
  return text
    .split(/(?:\r\n|\r(?!\n)|\n|\u2029)[^\S\r\n\f\u2029]*(?:\r\n|\r(?!\n)|\n)|\u2029|\f/)
    .map((paragraph) => paragraph.replace(/\s+/g, ' ').trim())
    .flatMap((paragraph) =>
      countWords(paragraph) > MOST_WORDS ? splitSentences(paragraph) : [paragraph],
    )
    .filter((paragraph) => paragraph !== '')
}

function splitSentences(paragraph: string): string[] {
  const parts: string[] = []
  let open = ''
  let words = 0
  for (const sentence of sentencesOf(paragraph)) {
    const more = countWords(sentence)
    if (open !== '' && words + more > MOST_WORDS) {
      parts.push(open)
      open = ''
      words = 0
    }
    open = open === '' ? sentence : `${open} ${sentence}`
    words += more
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
