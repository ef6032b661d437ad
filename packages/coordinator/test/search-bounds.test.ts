import {
  embedLexical,
  LEXICAL_DIMENSIONS,
  LEXICAL_MODEL,
  SIMILARITY_FLOOR,
} from '@earshot/shared/lexical'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../../../test/helpers/database.ts'
import { searchSql } from '../src/search/query.ts'
import { search } from '../src/search/search.ts'
import { heard, storeDocument } from './corpus-by-hand.ts'

describe.each(databases)('what a search depends on (%s)', (kind) => {
  test('a session without pgvector in its search_path finds the same', async () => {
    await using own = await testDatabase(kind)
    await storeDocument(own.db, 'needle.wav', [heard(7, 'the needle lies in the haystack')])
    const client = await own.db.pool.connect()
    try {
      await client.query('begin')
      await client.query('set local search_path = pg_catalog')
      expect(await search(client, { query: 'needle', limit: 10 })).toMatchObject([
        { title: 'needle.wav', start_s: 7.5 },
      ])
    } finally {
      await client.query('rollback')
      client.release()
    }
  })

  test('a word that is in every text is ranked in few; a rare word beside it comes first', async () => {
    await using own = await testDatabase(kind)
    const { pool } = own.db
    const document = await storeDocument(own.db, 'straw.wav', [heard(0, 'straw')])
    const vector = JSON.stringify(Array.from(embedLexical('straw')))
    await pool.query('drop index earshot.chunks_lexical_384')
    await pool.query(
      `insert into earshot.chunks (document_id, ordinal, text, model, embedding)
       select $1, n, case n when 2999 then 'straw hides a needle' else 'straw and hay' end, $2, $3::vector
       from generate_series(1, 3000) n`,
      [document, LEXICAL_MODEL, vector],
    )
    const { rows } = await pool.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `explain (analyze, format json) ${searchSql({ name: LEXICAL_MODEL, dimensions: LEXICAL_DIMENSIONS })}`,
      ['straw', vector, SIMILARITY_FLOOR, 20, null],
    )
    const texts = find(
      rows[0]!['QUERY PLAN'][0].Plan,
      (plan) => plan['Subplan Name'] === 'CTE texts',
    )
    const ranked = find(texts!, (plan) => plan['Node Type'] === 'WindowAgg')!.Plans![0]!
    expect(ranked['Actual Rows']).toBeGreaterThanOrEqual(500)
    expect(ranked['Actual Rows']).toBeLessThanOrEqual(1000)

    const [first] = await search(pool, { query: 'needle straw', limit: 5 })
    expect(first!.text).toBe('straw hides a needle')
  })

  test('many words that are in every text have a part each of what is looked at', async () => {
    await using own = await testDatabase(kind)
    const { pool } = own.db
    const document = await storeDocument(own.db, 'straw.wav', [heard(0, 'straw')])
    const words = Array.from({ length: 20 }, (_, at) => `straw${at}`).join(' ')
    const vector = JSON.stringify(Array.from(embedLexical('straw')))
    await pool.query('drop index earshot.chunks_lexical_384')
    await pool.query(
      `insert into earshot.chunks (document_id, ordinal, text, model, embedding)
       select $1, n, $2, $3, $4::vector from generate_series(1, 600) n`,
      [document, words, LEXICAL_MODEL, vector],
    )
    const { rows } = await pool.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `explain (analyze, format json) ${searchSql({ name: LEXICAL_MODEL, dimensions: LEXICAL_DIMENSIONS })}`,
      [words, vector, SIMILARITY_FLOOR, 20, null],
    )
    const plan = rows[0]!['QUERY PLAN'][0].Plan
    const candidates = find(plan, (part) => part['Subplan Name'] === 'CTE candidates')!
    const looked = find(candidates, (part) => part['Node Type'] === 'Append')!
    expect(looked['Actual Rows']).toBeGreaterThanOrEqual(2000)
    expect(looked['Actual Rows']).toBeLessThanOrEqual(2500)
  })
})

type Plan = {
  'Node Type': string
  'Subplan Name'?: string
  'Actual Rows': number
  Plans?: Plan[]
}

/** The first node of a plan, from the top, that is wanted. */
function find(plan: Plan, wanted: (plan: Plan) => boolean): Plan | undefined {
  if (wanted(plan)) return plan
  for (const below of plan.Plans ?? []) {
    const found = find(below, wanted)
    if (found !== undefined) return found
  }
  return undefined
}
