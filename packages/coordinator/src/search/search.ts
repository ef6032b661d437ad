import { createHash } from 'node:crypto'
import type { Hit } from '@earshot/contract'
import { type Queryable, call } from '@earshot/db/functions/call'
import { vectorText } from '@earshot/db/vector'
import {
  LEXICAL_DIMENSIONS,
  LEXICAL_MODEL,
  SIMILARITY_FLOOR,
  embedLexical,
} from '@earshot/shared/lexical'
import { type Model, searchSql } from './query.ts'

/**
 * The query's vector of a model that documents are embedded by too, and from which cosine on it
 * counts.
 */
export type Meaning = { model: string; vector: readonly number[]; floor: number }

export type SearchRequest = {
  query: string
  limit: number
  corpus?: string | undefined
  meaning?: Meaning | undefined
}

/**
 * `ordinal`: the chunk's place in its document; `paragraph`: of a text, the first that holds a word
 * of the query.
 */
type Row = Hit & { by_word: boolean; ordinal: number; paragraph: string | null }

const WORDS: Model = { name: LEXICAL_MODEL, dimensions: LEXICAL_DIMENSIONS }

/**
 * What was said where, best first: full text and vectors, fused by rank (see query.ts). A hit holds
 * at least one word of the query, or passes the similarity floor of a model; so without `meaning` a
 * word that is in no document gives none.
 *
 * `start_s` is that of the first matching word, in seconds, or where the engine gave no word times
 * of its segment.
 *
 * @throws EarshotError EARSHOT_DATABASE
 * @example
 * await search(db.pool, { query: 'harbour lighthouse', limit: 10 })
 */
export async function search(
  db: Queryable,
  { query, limit, corpus, meaning }: SearchRequest,
): Promise<Hit[]> {
  const text = searched(query)
  const sql = searchSql(
    WORDS,
    meaning && { name: meaning.model, dimensions: meaning.vector.length },
  )
  // Chunks overlap by a segment: what was said there would come twice, so that more are asked for
  // than are shown.
  const values = [
    text,
    vectorText(Array.from(embedLexical(text))),
    SIMILARITY_FLOOR,
    limit * 2,
    corpus ?? null,
  ]
  if (meaning !== undefined) values.push(vectorText(meaning.vector), meaning.floor)
  // A statement is prepared under its name, and each model has its own.
  const name = `search_${createHash('sha256').update(sql).digest('hex').slice(0, 16)}`
  const rows = await call<Row>(db, name, sql, values)
  return withoutRepeats(rows)
    .slice(0, limit)
    .map(({ by_word: _, ordinal: __, paragraph: ___, ...hit }) => hit)
}

/** PostgreSQL's texts cannot hold a NUL; to a search it is a gap between words. */
export const searched = (query: string): string => query.replaceAll('\0', ' ')

/**
 * Of hits that start at the same word of the same document, or in the paragraph that two chunks of
 * a text share, only the best remains.
 */
function withoutRepeats(rows: readonly Row[]): Row[] {
  const seen = new Set<string>()
  return rows.filter(({ by_word, document, ordinal, start_s, paragraph }) => {
    if (!by_word) return true
    const place = (chunk: number) =>
      start_s === null ? `${document} ${chunk} ${paragraph}` : `${document} ${start_s}`
    const fresh =
      !seen.has(place(ordinal)) && !seen.has(place(ordinal - 1)) && !seen.has(place(ordinal + 1))
    seen.add(place(ordinal))
    return fresh
  })
}
