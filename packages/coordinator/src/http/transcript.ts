import {
  type DocumentView,
  EarshotError,
  type Segment,
  type TranscriptFormat,
} from '@earshot/contract'

export type Transcript = {
  document: Pick<DocumentView, 'id' | 'title' | 'duration_s'>
  segments: readonly Segment[]
}

/**
 * A document's text in one of four formats, ending in a newline unless it is empty:
 *
 * - `txt`: a line a segment;
 * - `srt` (SubRip) and `vtt` (WebVTT): a cue a segment;
 * - `json`:
 *   `{"document":1,"title":"…","duration_s":61.5,"segments":[{"start_s","end_s","text","confidence","words":[{"text",
 *   "start_s","end_s","confidence"}]}]}`, times in seconds, null for read texts.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST when subtitles of a text without times are asked for
 * @example
 * formatTranscript({ document: { id: 1, title: 'talk.mp3', duration_s: 61.5 }, segments }, 'srt')
 */
export function formatTranscript(
  { document, segments }: Transcript,
  format: TranscriptFormat,
): string {
  if (format === 'json')
    return `${JSON.stringify({ document: document.id, title: document.title, duration_s: document.duration_s, segments })}\n`
  if (format === 'txt')
    return segments
      .map(({ text }) => oneLine(text))
      .filter((line) => line !== '')
      .map((line) => `${line}\n`)
      .join('')
  const cues = cuesOf(document, segments)
  return format === 'srt'
    ? cues
        .map(
          ({ from, to, text }, i) =>
            `${i + 1}\n${clock(from, ',')} --> ${clock(to, ',')}\n${text.replaceAll('-->', '->')}\n\n`,
        )
        .join('')
    : `WEBVTT\n\n${cues.map(({ from, to, text }) => `${clock(from, '.')} --> ${clock(to, '.')}\n${escapeVtt(text)}\n\n`).join('')}`
}

type Cue = { from: number; to: number; text: string }

function cuesOf(document: Transcript['document'], segments: readonly Segment[]): Cue[] {
  return segments.flatMap(({ start_s, end_s, text }) => {
    const line = oneLine(text)
    if (line === '') return []
    if (start_s === null || end_s === null) {
      throw new EarshotError(
        'EARSHOT_BAD_REQUEST',
        `Document ${document.id} is a text: it has no times, so there are no subtitles of it.`,
        { field: 'format', hint: 'Use txt or json.' },
      )
    }
    const from = Math.round(start_s * 1000)
    // Players drop cues that end when they begin.
    return [{ from, to: Math.max(from + 1, Math.round(end_s * 1000)), text: line }]
  })
}

/** An empty line would end a cue. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

/** Milliseconds as `01:02:03,456`; hours grow beyond two digits where they must. */
function clock(ms: number, point: string): string {
  const two = (n: number) => String(Math.floor(n)).padStart(2, '0')
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}${point}${String(ms % 1000).padStart(3, '0')}`
}

function escapeVtt(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
