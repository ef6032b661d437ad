import pg from 'pg'

/**
 * Reciprocal rank fusion's constant, 60 in Cormack, Clarke & Büttcher, SIGIR 2009: how little the
 * first places stand out.
 */
const RRF_K = 60
/**
 * As many nearest vectors as HNSW looks at by default (hnsw.ef_search); asking for more gives no
 * more.
 */
const NEAREST = 40
/** Texts that take part in the fusion, best first. */
const TEXTS = 200
/**
 * Texts looked at for each word of the query, so that a word that is in every text costs no more
 * than this many.
 */
const CANDIDATES = 500
/**
 * Texts looked at for all words one by one: of many words each gets its part, at least as many as
 * shown.
 */
const CANDIDATES_OF_WORDS = 2000

export type Model = { name: string; dimensions: number }

/**
 * The search as one statement. Parameters: $1 the query's text, $2 its vector (of `words`, the
 * lexical model), $3 the similarity floor, $4 how many hits, $5 a corpus's name or null; with
 * `meaning` $6 the query's vector of that model, and $7 its floor.
 *
 * Steps: words of the query in the form that the index has (search_text), as they are and as
 * English stems, stop words left out unless there is nothing else; chunks with all of them and
 * chunks with each of them, a bounded number of both; these by how many of them and how close
 * together; chunks with near vectors of either model, above its floor; all fused by rank. The share
 * of words found weighs more than any rank, so that a full match comes first; but where there are
 * meanings, some of the words are no better than none, and only all of them count so. Then, for the
 * few that are shown, the first matching word in the chunk's segments says when it was said; in a
 * text, which has no times, in which paragraph it stands.
 *
 * A query without letters has the zero vector, whose similarity to all is NaN: which PostgreSQL
 * takes for the largest number. The session's search_path may lack the schema of pgvector, so that
 * its type and operator are named with their schema. A model's name and size stand in the text, not
 * in a parameter, since the planner must see that they fit the index.
 */
export const searchSql = (words: Model, meaning?: Model): string => `
with words as materialized (
  select plainto_tsquery('simple', w.lexeme) || plainto_tsquery('english', w.lexeme) as query,
    numnode(plainto_tsquery('english', w.lexeme)) = 0 as stop
  from unnest(to_tsvector('simple', earshot.search_text($1, true))) w
), asked as materialized (
  select w.query from words w where not w.stop or (select bool_and(stop) from words)
), whole as materialized (
  select string_agg('(' || a.query::text || ')', ' | ')::tsquery as any_word, count(*)::int as words,
    string_agg('(' || a.query::text || ')', ' & ')::tsquery as all_words
  from asked a
), corpus as materialized (
  select c.id from earshot.corpora c where $5::text is null or c.name = $5
), candidates as materialized (
  select k.id from whole w cross join lateral (${candidates('w.all_words', words)}) k
  union select k.id from whole w cross join asked a cross join lateral (
    with found as materialized (${candidates('a.query', words)})
    select f.id from found f
    limit greatest($4, ${CANDIDATES_OF_WORDS} / w.words)) k
), texts as materialized (
  select c.id, m.words, row_number() over (order by m.words desc, ts_rank_cd(c.fts, w.any_word) desc, c.id) as place
  from whole w
  cross join candidates k
  join earshot.chunks c on c.id = k.id
  cross join lateral (select count(*)::int as words from asked a where c.fts @@ a.query) m
  order by place limit ${TEXTS}
), nearest as materialized (
  select c.id, ${distance('c.embedding', '$2', words)} as distance
  from earshot.chunks c where c.model = ${literal(words)} order by distance limit ${NEAREST}
), ${near('near', 'nearest', '$3')}, ${
  meaning === undefined
    ? ''
    : `alike as materialized (
  select v.chunk_id as id, ${distance('v.embedding', '$6', meaning)} as distance
  from earshot.chunk_vectors v where v.model = ${literal(meaning)} order by distance limit ${NEAREST}
), ${near('meant', 'alike', '$7')}, `
}best as materialized (
  select f.id, bool_or(f.by_word) as by_word, max(f.share) + sum(1.0 / (${RRF_K} + f.place)) as score
  from (
    select t.id, true as by_word, ${meaning === undefined ? 't.words::float8 / w.words' : '(t.words = w.words)::int::float8'} as share, t.place from texts t cross join whole w
    union all select n.id, false, 0, n.place from near n
    ${meaning === undefined ? '' : 'union all select m.id, false, 0, m.place from meant m'}
  ) f
  group by f.id order by score desc, f.id limit $4
)
select d.id as document, d.title, coalesce(found.start_s, c.start_s) as start_s, c.end_s, c.text, b.score::float8 as score, d.node, b.by_word, c.ordinal,
  case when c.start_s is null then (
    select p.text from string_to_table(c.text, E'\\n') with ordinality p (text, place)
    where earshot.search_words(p.text) @@ w.any_word
    order by p.place limit 1
  ) end as paragraph
from best b
join earshot.chunks c on c.id = b.id
join earshot.documents d on d.id = c.document_id
cross join whole w
left join lateral (
  select coalesce(said.start_s, s.start_s) as start_s
  from earshot.segments s
  left join lateral (
    select (x.word ->> 'start_s')::float8 as start_s from jsonb_array_elements(s.words) with ordinality x (word, place)
    where earshot.search_words(x.word ->> 'text') @@ w.any_word
    order by x.place limit 1
  ) said on true
  where b.by_word and s.document_id = c.document_id and s.start_s >= c.start_s and s.end_s <= c.end_s
    and earshot.search_words(s.text) @@ w.any_word
  order by s.ordinal limit 1
) found on true
order by b.score desc, b.id`

const literal = ({ name }: Model): string => pg.escapeLiteral(name)
const distance = (column: string, query: string, { dimensions }: Model): string =>
  `(${column}::public.vector(${dimensions}) operator(public.<=>) ${query}::public.vector(${dimensions}))`

/** Some chunks that match, of the corpus that was asked for: all of them where a word is rare. */
const candidates = (query: string, model: Model): string => `
    select c.id from earshot.chunks c
    where c.fts @@ ${query} and c.model = ${literal(model)} and ($5::text is null or c.document_id in (
      select d.id from earshot.documents d where d.corpus_id in (select id from corpus)))
    limit ${CANDIDATES}`

/** Of the nearest those above the floor, and in the corpus that was asked for, by place. */
const near = (name: string, nearest: string, floor: string): string => `${name} as materialized (
  select n.id, row_number() over (order by n.distance, n.id) as place
  from ${nearest} n
  where 1 - n.distance >= ${floor} and n.distance <> 'NaN'
    and ($5::text is null or exists (select from earshot.chunks c join earshot.documents d on d.id = c.document_id where c.id = n.id and d.corpus_id in (select id from corpus)))
)`
