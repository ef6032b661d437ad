import type { Hit } from '@earshot/shared/contract'
import { type Queryable, call } from '@earshot/shared/db/functions/call'
import { LEXICAL_DIMENSIONS, LEXICAL_MODEL, SIMILARITY_FLOOR, embedLexical } from '@earshot/shared/lexical'
import { searchSql } from './query.ts'

export type SearchRequest = { query: string; limit: number; corpus?: string | undefined }

type Row = Hit & { by_word: boolean }

const SQL = searchSql({ name: LEXICAL_MODEL, dimensions: LEXICAL_DIMENSIONS })

/**
 * What was said where, best first: full text and vectors, fused by rank (see query.ts). A hit holds at least one word of
 * the query, or passes the similarity floor; so a word that is in no document gives none.
 *
 * `start_s` is that of the first matching word, in seconds, or where the engine gave no word times of its segment.
 *
 * @throws EarshotError EARSHOT_DATABASE
 * @example
 * await search(db.pool, { query: 'harbour lighthouse', limit: 10 })
 */
export async function search(db: Queryable, { query, limit, corpus }: SearchRequest): Promise<Hit[]> {
  // PostgreSQL's texts cannot hold a NUL; to a search it is a gap between words.
  const text = query.replaceAll('\0', ' ')
  const vector = JSON.stringify(Array.from(embedLexical(text)))
  // Chunks overlap by a segment: what was said there would come twice, so that more are asked for than are shown.
  const rows = await call<Row>(db, 'search', SQL, [text, vector, SIMILARITY_FLOOR, limit * 2, corpus ?? null])
  return withoutRepeats(rows).slice(0, limit).map(({ by_word: _, ...hit }) => hit)
}

/** Of hits that start at the same word of the same document only the best remains. */
function withoutRepeats(rows: readonly Row[]): Row[] {
  const seen = new Set<string>()
  return rows.filter((row) => {
    if (!row.by_word || row.start_s === null) return true
    const place = `${row.document} ${row.start_s}`
    const fresh = !seen.has(place)
    seen.add(place)
    return fresh
  })
}
