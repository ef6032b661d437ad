import type { Segment } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import { embedLexical, LEXICAL_MODEL } from '@earshot/shared/lexical'

/** A heard segment: its words half a second apart from `start_s` on. */
export function heard(start_s: number, text: string, { words = true } = {}): Segment {
  const said = text.split(' ').map((word, at) => ({
    text: word,
    start_s: start_s + at * 0.5,
    end_s: start_s + at * 0.5 + 0.4,
  }))
  return { start_s, end_s: said.at(-1)!.end_s, text, confidence: 0.9, words: words ? said : [] }
}

/** A paragraph of a text, which has no times. */
export const read = (text: string): Segment => ({
  start_s: null,
  end_s: null,
  text,
  confidence: null,
  words: [],
})

/**
 * Stores a ready document; `chunks` are the ranges of segments that each chunk is made of, from and
 * up to.
 */
export async function storeDocument(
  db: Database,
  title: string,
  segments: Segment[],
  chunks: [number, number][] = [[0, segments.length]],
): Promise<number> {
  const kind = segments[0]?.start_s === null ? 'text' : 'audio'
  const { rows } = await db.pool.query<{ id: number }>(
    `insert into earshot.documents (corpus_id, title, kind, status, ready_at, node) select id, $1, $2, 'ready', now(), 'box' from earshot.corpora where name = 'default' returning id`,
    [title, kind],
  )
  const id = rows[0]!.id
  await db.pool.query(
    `insert into earshot.segments (document_id, ordinal, start_s, end_s, text, confidence, words)
     select $1, place - 1, (s ->> 'start_s')::float8, (s ->> 'end_s')::float8, s ->> 'text', (s ->> 'confidence')::real, s -> 'words'
     from jsonb_array_elements($2::jsonb) with ordinality x (s, place)`,
    [id, JSON.stringify(segments)],
  )
  for (const [ordinal, [from, to]] of chunks.entries()) {
    const part = segments.slice(from, to)
    const text = part.map((segment) => segment.text).join(kind === 'text' ? '\n' : ' ')
    await db.pool.query(
      'insert into earshot.chunks (document_id, ordinal, start_s, end_s, text, model, embedding) values ($1, $2, $3, $4, $5, $6, $7::vector)',
      [
        id,
        ordinal,
        part[0]!.start_s,
        part.at(-1)!.end_s,
        text,
        LEXICAL_MODEL,
        JSON.stringify(Array.from(embedLexical(text))),
      ],
    )
  }
  return id
}
