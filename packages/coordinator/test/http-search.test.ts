import {
  embedLexical,
  LEXICAL_DIMENSIONS,
  LEXICAL_MODEL,
  SIMILARITY_FLOOR,
} from '@earshot/shared/lexical'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { reconcileVectors } from '@earshot/db/functions/vectors'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../../../test/helpers/database.ts'
import { searchSql } from '../src/search/query.ts'
import { search } from '../src/search/search.ts'
import { heard, read, storeDocument } from './corpus-by-hand.ts'
import { type Mesh, startMesh } from './mesh.ts'

/** A unit vector whose cosine with `from` is `cosine`. */
function turned(from: Float32Array, cosine: number): number[] {
  const away = Array.from(from, (value, at) => (at === 0 ? 1 : 0) - value * from[0]!)
  const length = Math.hypot(...away)
  return away.map((value, at) => cosine * from[at]! + Math.sqrt(1 - cosine ** 2) * (value / length))
}

describe.each(databases)('search (%s)', (kind) => {
  let mesh: Mesh
  const ids: Record<string, number> = {}
  beforeAll(async () => {
    mesh = await startMesh(kind)
    const { db } = mesh.test
    ids.harbour = await storeDocument(
      db,
      'harbour.wav',
      [
        heard(0, 'we walked along the old harbour wall'),
        heard(5, 'the lighthouses were already lit'),
        heard(10, 'nobody spoke of the storm'),
        heard(15, 'a kettle was singing in the kitchen'),
      ],
      [
        [0, 3],
        [2, 4],
      ],
    )
    ids.kitchen = await storeDocument(db, 'kitchen.wav', [
      heard(2, 'put the kettle on the stove'),
      heard(30, 'and close the kitchen door', { words: false }),
    ])
    ids.letter = await storeDocument(db, 'letter.txt', [
      read('The committee met on Tuesday.'),
      read("It spoke about O'Brien's e-mail and the harbour fees."),
    ])
    const steps = [
      'Peel the onions.',
      'Crush the garlic.',
      'Boil the noodles.',
      'Add pepper.',
      'Crush the garlic.',
    ]
    ids.recipe = await storeDocument(db, 'recipe.txt', steps.map(read), [
      [0, 2],
      [1, 3],
      [2, 4],
      [3, 5],
    ])
    ids.stop = await storeDocument(db, 'who.wav', [heard(1, 'who is on first what is on second')])
  })
  afterAll(() => mesh[Symbol.asyncDispose]())

  const find = async (query: string, limit?: number) =>
    (await mesh.client.search(query, limit === undefined ? {} : { limit })).hits.map(
      ({ title, start_s }) => [title, start_s],
    )

  test('a word that is in no document gives no hits; nor does one that only looks a little like some', async () => {
    for (const query of [
      'zeppelin',
      'xylophone quartz',
      'zzzz',
      'harpsichord',
      'stormtrooperish galaxy',
      '日本語',
    ]) {
      expect(await mesh.client.search(query), query).toEqual({ hits: [] })
    }
  })

  test('a query without any word gives no hits', async () => {
    for (const query of ['!!!', '"', '-', '😀', '()&|:*'])
      expect(await mesh.client.search(query), query).toEqual({ hits: [] })
  })

  test('a hit tells the document, its node, and when the first matching word was said', async () => {
    const { hits } = await mesh.client.search('lighthouse')
    expect(hits).toEqual([
      {
        document: ids.harbour,
        title: 'harbour.wav',
        start_s: 5.5,
        end_s: 12.4,
        node: 'box',
        score: expect.any(Number),
        text: 'we walked along the old harbour wall the lighthouses were already lit nobody spoke of the storm',
      },
    ])
  })

  test('a word counts in any of its forms, and only as a whole word', async () => {
    expect(await find('walking')).toEqual([['harbour.wav', 0.5]])
    expect(await find('KETTLES')).toEqual(
      expect.arrayContaining([
        ['harbour.wav', 15.5],
        ['kitchen.wav', 3],
      ]),
    )
    expect((await find('kettle')).length).toBe(2)
  })

  test('more words found come before fewer, and the earliest of them is the time', async () => {
    expect((await find('kitchen kettle stove'))[0]).toEqual(['kitchen.wav', 3])
    expect((await find('storm harbour'))[0]).toEqual(['harbour.wav', 2.5])
    const { hits } = await mesh.client.search('harbour committee')
    expect(hits[0]?.title).toBe('letter.txt')
    expect(hits.map(({ score }) => score)).toEqual(
      hits.map(({ score }) => score).toSorted((a, b) => b - a),
    )
  })

  test('what two chunks share is one hit', async () => {
    expect(await find('storm')).toEqual([['harbour.wav', 12]])
    expect(await find('noodles')).toEqual([['recipe.txt', null]])
    expect(await find('garlic')).toHaveLength(2)
    expect(await find('onions noodles')).toEqual([
      ['recipe.txt', null],
      ['recipe.txt', null],
    ])
  })

  test('without word times the segment says when, and a text has no times', async () => {
    expect(await find('door')).toEqual([['kitchen.wav', 30]])
    expect(await find('committee')).toEqual([['letter.txt', null]])
  })

  test('stop words count only when there is nothing else', async () => {
    expect(await find('the zeppelin')).toEqual([])
    expect((await find('who is on'))[0]).toEqual(['who.wav', 1])
  })

  test('apostrophes, hyphens and quotes are words like any others', async () => {
    expect(await find("O'Brien")).toEqual([['letter.txt', null]])
    expect(await find('"e-mail"')).toEqual([['letter.txt', null]])
  })

  test('without any word of the query a chunk is a hit only when its vector passes the floor; then it says where it starts', async () => {
    const own = await storeDocument(mesh.test.db, 'near.wav', [
      heard(60, 'entirely different words'),
    ])
    const setSimilarity = (to: number) =>
      mesh.test.db.pool.query(
        'update earshot.chunks set embedding = $2::vector where document_id = $1',
        [own, JSON.stringify(turned(embedLexical('marmalade'), to))],
      )
    await setSimilarity(SIMILARITY_FLOOR - 0.01)
    expect(await find('marmalade')).toEqual([])
    await setSimilarity(SIMILARITY_FLOOR + 0.01)
    expect(await find('marmalade')).toEqual([['near.wav', 60]])
  })

  test('the limit holds, and a corpus that is not there holds nothing', async () => {
    expect(await find('harbour kettle committee', 2)).toHaveLength(2)
    expect(await mesh.client.search('kettle', { corpus: 'other' })).toEqual({ hits: [] })
    expect((await mesh.client.search('kettle', { corpus: 'default' })).hits).toHaveLength(2)
  })

  test('any characters are safe', async () => {
    const words = fc.constantFrom(
      'kettle',
      ':*',
      '<->',
      '!',
      '\\',
      "'",
      '"',
      '\0',
      '$1',
      '%',
      'a:b',
      'http://x.y/z',
      '1.5e3',
      'ß',
      '\u202e',
      '😀',
      '-kettle',
      '&&',
      '<b>',
    )
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ maxLength: 200, unit: 'binary' }),
          fc.array(words, { maxLength: 30 }).map((list) => list.join(' ')),
        ),
        async (query) => {
          await search(mesh.test.db.pool, { query, limit: 5 })
        },
      ),
      { numRuns: 150 },
    )
  })
})

test.runIf(databases.includes('postgres'))('among 10,000 chunks the indexes are used', async () => {
  await using own = await testDatabase('postgres')
  const { pool } = own.db
  await storeDocument(own.db, 'needle.wav', [heard(7, 'the needle lies in the haystack')])
  await pool.query('drop index earshot.chunks_lexical_384')
  const words = Array.from({ length: 500 }, (_, at) => `word${at}`)
  const texts = Array.from(
    { length: 10_000 },
    (_, at) => `${words[at % 500]} ${words[(at * 7) % 500]} ${words[(at * 13 + 5) % 500]} straw`,
  )
  await pool.query(
    `insert into earshot.chunks (document_id, ordinal, start_s, end_s, text, model, embedding)
     select (select id from earshot.documents), ordinal, ordinal, ordinal + 1, text, '${LEXICAL_MODEL}', embedding::vector
     from unnest($1::text[], $2::text[]) with ordinality x (text, embedding, ordinal)`,
    [texts, texts.map((text) => JSON.stringify(Array.from(embedLexical(text))))],
  )
  await pool.query(
    "create index chunks_lexical_384 on earshot.chunks using hnsw ((embedding::vector(384)) vector_cosine_ops) where model = 'lexical-384'",
  )
  await pool.query('analyze earshot.chunks')

  expect(await search(pool, { query: 'needle', limit: 10 })).toMatchObject([
    { title: 'needle.wav', start_s: 7.5 },
  ])
  const vector = JSON.stringify(Array.from(embedLexical('needle')))
  const { rows } = await pool.query<{ 'QUERY PLAN': string }>(
    `explain ${searchSql({ name: LEXICAL_MODEL, dimensions: LEXICAL_DIMENSIONS })}`,
    ['needle', vector, SIMILARITY_FLOOR, 20, null],
  )
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
  expect(plan).toContain('Bitmap Index Scan on chunks_fts')
  expect(plan).toContain('Index Scan using chunks_lexical_384')
  expect(plan).not.toMatch(/Seq Scan on (chunks|segments)/)

  await pool.query(`update earshot.settings set embed_model = 'it''s 64', embed_dimensions = 64`)
  await pool.query(`insert into earshot.chunk_vectors (chunk_id, model, embedding)
    select c.id, 'it''s 64', (select array_agg(random() - 0.5)::vector from generate_series(1, 64) where c.id is not null) from earshot.chunks c order by c.id limit 4000`)
  await reconcileVectors(pool, (await acquireLeadership(pool, 'test', true))!)
  await pool.query('analyze earshot.chunk_vectors')
  const meaning = {
    model: "it's 64",
    vector: Array.from({ length: 64 }, (_, at) => at - 31.5),
    floor: 0.9,
  }
  expect(await search(pool, { query: 'needle', limit: 10, meaning })).toMatchObject([
    { title: 'needle.wav', start_s: 7.5 },
  ])
  const { rows: explained } = await pool.query<{ 'QUERY PLAN': string }>(
    `explain ${searchSql({ name: LEXICAL_MODEL, dimensions: LEXICAL_DIMENSIONS }, { name: meaning.model, dimensions: 64 })}`,
    ['needle', vector, SIMILARITY_FLOOR, 20, null, JSON.stringify(meaning.vector), 0.9],
  )
  expect(explained.map((row) => row['QUERY PLAN']).join('\n')).toMatch(
    /Index Scan using chunk_vectors_hnsw_64_/,
  )
})
