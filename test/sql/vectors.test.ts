import { submitJobs } from '@earshot/db/functions/jobs'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import {
  reconcileVectors,
  readChunks,
  readEmbedding,
  setEmbedding,
} from '@earshot/db/functions/vectors'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { heard, storeDocument } from '../../packages/coordinator/test/corpus-by-hand.ts'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, finish, jobRow, join, silence } from './fixture.ts'

const MODEL = 'meaning:latest'
const OTHER = 'other'
const tags = { [`model:${MODEL}`]: true, [`model:${OTHER}`]: true }

describe.each(databases)('vectors of a model that the settings name, on %s', (kind) => {
  let held: TestDatabase
  let term: string
  let n1: number
  const db = () => held.db
  const query = async <Row>(sql: string, values: unknown[] = []): Promise<Row[]> =>
    (await db().pool.query(sql, values)).rows as Row[]

  beforeAll(async () => {
    held = await testDatabase(kind)
  })
  afterAll(async () => {
    await held[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    for (const table of ['chunk_vectors', 'jobs', 'documents'])
      await query(`delete from earshot.${table}`)
    await query(
      `update earshot.settings set embed_model = 'lexical-384', embed_dimensions = null, embed_floor = null`,
    )
    n1 = await join(db(), 'n1', { tags })
    term = (await acquireLeadership(db().pool, 'test', true))!
    await reconcileVectors(db().pool, term)
  })
  const use = (model: string, floor: number | null = null) =>
    setEmbedding(db().pool, term, { model, floor })
  const keep = () => reconcileVectors(db().pool, term)
  const store = (title = 'talk.wav') =>
    storeDocument(
      db(),
      title,
      [heard(0, 'one two'), heard(5, 'three four')],
      [
        [0, 1],
        [1, 2],
      ],
    )
  const take = async (node = 'n1', incarnation = n1) =>
    (await assignAll(db(), node, incarnation)).filter(({ kind }) => kind === 'embed')
  const vectors = async (document: number, size = 3) => ({
    output: {
      vectors: (await readChunks(db().pool, document)).map(({ id }, at) => ({
        chunk: id,
        embedding: Array.from({ length: size }, (_, i) => (i === at ? 1 : 0.5)),
      })),
    },
  })
  const models = async () =>
    query<{ title: string; model: string; vectors: number }>(
      `select d.title, v.model, count(*)::int as vectors from earshot.chunk_vectors v join earshot.chunks c on c.id = v.chunk_id join earshot.documents d on d.id = c.document_id group by 1, 2 order by 1, 2`,
    )
  const embedAll = async (size?: number) => {
    // The first may make the index of the vectors there are.
    for (let turn = 0; turn < 2; turn++) await keep()
    for (const job of await take())
      expect(await finish(db(), 'n1', n1, job, await vectors(job.document_id!, size))).toBe('done')
  }
  const indexes = async () =>
    (
      await query<{ name: string }>(
        `select indexname as name from pg_indexes where tablename = 'chunk_vectors' and indexname like '%hnsw%' order by 1`,
      )
    ).map(({ name }) => name)

  test('without one nothing is asked for, and who does not lead says nothing', async () => {
    await store()
    expect(await keep()).toEqual({ asked: 0, removed: 0 })
    await setEmbedding(db().pool, '0', { model: MODEL, floor: 0.5 })
    expect(await readEmbedding(db().pool)).toEqual({
      model: 'lexical-384',
      dimensions: null,
      floor: null,
    })
    await use(MODEL)
    expect(await reconcileVectors(db().pool, '0')).toEqual({ asked: 0, removed: 0 })
    expect(await query('select from earshot.jobs')).toEqual([])
  })

  test('documents that were there before are embedded where a node has the model, once, and stand in an index', async () => {
    const id = await store()
    await use(MODEL, 0.5)
    expect(await keep()).toEqual({ asked: 1, removed: 0 })
    expect(await keep()).toEqual({ asked: 0, removed: 0 })
    const [job] = await take()
    expect(job).toMatchObject({
      kind: 'embed',
      document_id: id,
      payload: { document_id: id, model: MODEL },
    })
    expect(await query('select requires, class from earshot.jobs')).toEqual([
      { requires: { [`model:${MODEL}`]: true }, class: 'batch' },
    ])
    await finish(db(), 'n1', n1, job!, await vectors(id))
    expect(await jobRow(db(), job!.id)).toMatchObject({
      status: 'completed',
      result: { document_id: id, model: MODEL, chunks: 2 },
    })
    expect(await models()).toEqual([{ title: 'talk.wav', model: MODEL, vectors: 2 }])
    expect(await readEmbedding(db().pool)).toEqual({ model: MODEL, dimensions: 3, floor: 0.5 })
    await keep()
    expect(await indexes()).toEqual([expect.stringMatching(/^chunk_vectors_hnsw_3_/)])
    expect(await query('select status from earshot.documents')).toEqual([{ status: 'ready' }])
  })

  test('no more than a hundred documents wait for a node, however many there are', async () => {
    await query(
      `insert into earshot.documents (corpus_id, title, kind, status, ready_at) select c.id, g::text, 'text', 'ready', now() from earshot.corpora c, generate_series(1, 120) g`,
    )
    await query(
      `insert into earshot.chunks (document_id, ordinal, text, model, embedding) select id, 0, title, 'lexical-384', (select array_agg(0.1)::vector from generate_series(1, 384)) from earshot.documents`,
    )
    await use(MODEL)
    expect(await keep()).toEqual({ asked: 100, removed: 0 })
    expect(await keep()).toEqual({ asked: 0, removed: 0 })
    const jobs = await take()
    expect(jobs).toHaveLength(100)
    expect(await keep()).toEqual({ asked: 20, removed: 0 })
  })

  test('one whose node died while embedding it has its vectors once, whoever reports late', async () => {
    const id = await store()
    await use(MODEL)
    await keep()
    const [first] = await take()
    const made = await vectors(id)
    await silence(db(), 'n1')
    const n2 = await join(db(), 'n2', { tags })
    await query('select earshot.requeue_lost_jobs(true)')
    await query(`update earshot.jobs set run_at = now(), due = true where status = 'pending'`)
    const [second] = await take('n2', n2)
    expect(second!.id).toBe(first!.id)
    expect(await finish(db(), 'n2', n2, second!, made)).toBe('done')
    expect(await finish(db(), 'n1', n1, first!, made)).toBe('lost')
    expect(await models()).toEqual([{ title: 'talk.wav', model: MODEL, vectors: 2 }])
  })

  test('a text that is read anew loses its vectors with its chunks, and is embedded again; what was made of the old chunks is passed over', async () => {
    const id = await store()
    await use(MODEL)
    await embedAll()
    await submitJobs(db().pool, [{ kind: 'embed', payload: { document_id: id, model: MODEL } }])
    const [late] = await take()
    const ofOldChunks = await vectors(id)
    await submitJobs(db().pool, [{ kind: 'embed', payload: { document_id: id } }])
    const anew = (await take()).find(({ payload }) => payload.model === undefined)
    await finish(db(), 'n1', n1, anew!, {
      output: {
        chunks: [
          {
            start_s: 0,
            end_s: 1,
            text: 'five',
            model: 'lexical-384',
            embedding: Array.from({ length: 384 }, () => 0.1),
          },
        ],
      },
    })
    expect(await models()).toEqual([])
    await finish(db(), 'n1', n1, late!, ofOldChunks)
    expect(await jobRow(db(), late!.id)).toMatchObject({
      status: 'completed',
      result: { chunks: 0 },
    })
    await embedAll()
    expect(await models()).toEqual([{ title: 'talk.wav', model: MODEL, vectors: 1 }])
  })

  test('a document that is deleted takes its vectors with it, and the job that comes back says why it failed', async () => {
    const [gone, stays] = [await store('gone.wav'), await store('stays.wav')]
    await use(MODEL)
    await keep()
    const jobs = await take()
    const made = new Map([
      [gone, await vectors(gone)],
      [stays, await vectors(stays)],
    ])
    await query('update earshot.jobs set max_tries = 1')
    await finish(
      db(),
      'n1',
      n1,
      jobs.find((job) => job.document_id === stays)!,
      made.get(stays)!,
    )
    await query('delete from earshot.documents where id = $1', [gone])
    const orphan = jobs.find((job) => job.document_id === gone)!
    await finish(db(), 'n1', n1, orphan, made.get(gone)!)
    expect(await jobRow(db(), orphan.id)).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('is gone'),
    })
    await query('delete from earshot.documents where id = $1', [stays])
    expect(await query('select from earshot.chunk_vectors')).toEqual([])
  })

  test('vectors of another size than the others are refused, and say so; the document stays ready', async () => {
    const [a, b] = [await store('a.wav'), await store('b.wav')]
    await use(MODEL)
    await keep()
    await query('update earshot.jobs set max_tries = 1')
    const jobs = await take()
    await finish(
      db(),
      'n1',
      n1,
      jobs.find((job) => job.document_id === a)!,
      await vectors(a, 3),
    )
    const other = jobs.find((job) => job.document_id === b)!
    await finish(db(), 'n1', n1, other, await vectors(b, 4))
    expect(await jobRow(db(), other.id)).toMatchObject({
      status: 'failed',
      error_code: 'EARSHOT_RESULT_REFUSED',
      error: expect.stringContaining(
        'makes vectors of 4 dimensions here, and those of other documents have 3',
      ),
    })
    expect(await models()).toEqual([{ title: 'a.wav', model: MODEL, vectors: 2 }])
    expect(await query('select distinct status from earshot.documents')).toEqual([
      { status: 'ready' },
    ])
  })

  test('after another model was named its vectors take the place of the former ones, which stay until there are some', async () => {
    await store()
    await use(MODEL)
    await embedAll(3)
    await keep()
    await use(OTHER)
    expect(await readEmbedding(db().pool)).toMatchObject({ model: OTHER, dimensions: null })
    expect(await keep()).toEqual({ asked: 1, removed: 0 })
    expect(await keep()).toEqual({ asked: 0, removed: 0 })
    expect(await models()).toEqual([{ title: 'talk.wav', model: MODEL, vectors: 2 }])
    await embedAll(4)
    // First the new index, then the former vectors, then their index.
    expect([await keep(), await keep(), await keep()]).toEqual([
      { asked: 0, removed: 0 },
      { asked: 0, removed: 2 },
      { asked: 0, removed: 0 },
    ])
    expect(await models()).toEqual([{ title: 'talk.wav', model: OTHER, vectors: 2 }])
    expect(await indexes()).toEqual([expect.stringMatching(/^chunk_vectors_hnsw_4_/)])
  })

  test('a model that was named by mistake costs nothing: its jobs end, and the former vectors are used again', async () => {
    await store()
    await use(MODEL)
    await embedAll()
    await use('misspelt')
    await keep()
    const [parked] = await query<{ id: number }>(
      `select id from earshot.jobs where status = 'pending'`,
    )
    await use(MODEL)
    expect(await jobRow(db(), parked!.id)).toMatchObject({
      status: 'cancelled',
      error: expect.stringContaining(MODEL),
    })
    expect(await readEmbedding(db().pool)).toMatchObject({ model: MODEL, dimensions: 3 })
    await keep()
    expect(await keep()).toEqual({ asked: 1, removed: 0 })
    expect(await query(`select from earshot.jobs where status = 'pending'`)).toEqual([])
    expect(await models()).toEqual([{ title: 'talk.wav', model: MODEL, vectors: 2 }])
  })

  test("what another model's turn kept from being embedded is asked for again", async () => {
    await store('made.wav')
    await use(MODEL)
    await embedAll()
    await keep()
    await store('waits.wav')
    expect(await keep()).toEqual({ asked: 1, removed: 0 })
    // Someone thought better of it before any document was asked for.
    await use('misspelt')
    await use(MODEL)
    expect(await keep()).toEqual({ asked: 1, removed: 0 })
    await embedAll()
    expect(await models()).toEqual([
      { title: 'made.wav', model: MODEL, vectors: 2 },
      { title: 'waits.wav', model: MODEL, vectors: 2 },
    ])
  })

  test('to find out that there is nothing to do costs no look at each vector, also where nothing was ever analyzed', async () => {
    await store()
    await use(MODEL)
    await embedAll()
    await keep()
    const [before, after] = await db().transaction(async (client) => {
      const scans = async () =>
        (
          await client.query(
            `select relname, seq_scan::int from pg_stat_xact_user_tables where relname in ('chunk_vectors', 'documents', 'jobs') order by 1`,
          )
        ).rows
      const first = await scans()
      expect(await reconcileVectors(client, term)).toEqual({ asked: 0, removed: 0 })
      return [first, await scans()]
    })
    expect(after).toEqual(before)
    expect(after).toHaveLength(3)
  })

  test('what comes from a model that is not named any more is passed over', async () => {
    const id = await store()
    await submitJobs(db().pool, [{ kind: 'embed', payload: { document_id: id, model: MODEL } }])
    const [job] = await take()
    await finish(db(), 'n1', n1, job!, await vectors(id))
    expect(await jobRow(db(), job!.id)).toMatchObject({
      status: 'completed',
      result: { chunks: 0 },
    })
    expect(await models()).toEqual([])
  })

  test('lexical-384 means none: all vectors go, and documents are embedded anew when there is a model again', async () => {
    await store()
    await use(MODEL)
    await embedAll(3)
    await use('lexical-384')
    expect([await keep(), await keep()]).toEqual([
      { asked: 1, removed: 0 },
      { asked: 0, removed: 2 },
    ])
    await keep()
    expect(await indexes()).toEqual([])
    await use(MODEL)
    await embedAll(4)
    expect(await readEmbedding(db().pool)).toMatchObject({ model: MODEL, dimensions: 4 })
    expect(await models()).toEqual([{ title: 'talk.wav', model: MODEL, vectors: 2 }])
  })
})
