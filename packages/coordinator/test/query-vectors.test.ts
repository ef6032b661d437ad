import { setEmbedding } from '@earshot/db/functions/vectors'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { silentLog } from '@earshot/shared/log'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { databases, type TestDatabase, testDatabase } from '../../../test/helpers/database.ts'
import { createAwaitedJobs, type AwaitedJobs } from '../src/jobs/awaited-jobs.ts'
import { createQueryVectors, type QueryVectors } from '../src/search/query-vectors.ts'
import { joinNode, type NodeByHand } from './node-by-hand.ts'

const MODEL = 'nomic-embed-text'

describe.each(databases)('the meaning of a query (%s)', (kind) => {
  let held: TestDatabase
  let awaitedJobs: AwaitedJobs
  let vectors: QueryVectors
  beforeAll(async () => {
    held = await testDatabase(kind)
    await held.db.pool.query('update earshot.settings set doorbell = false')
    awaitedJobs = createAwaitedJobs({
      db: held.db,
      waitMs: 60_000,
      url: () => 'http://127.0.0.1:1',
      log: silentLog(),
    })
    awaitedJobs.start()
  })
  afterAll(async () => {
    await awaitedJobs.stop(AbortSignal.abort())
    await held[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    await held.db.pool.query('truncate earshot.jobs, earshot.node_registry cascade')
    await setEmbedding(held.db.pool, (await acquireLeadership(held.db.pool, 'test', true))!, {
      model: MODEL,
      floor: null,
    })
    await held.db.pool.query('update earshot.settings set embed_dimensions = 3')
    vectors = createQueryVectors({ db: held.db.pool, awaitedJobs, waitMs: 60_000 })
  })
  const join = () =>
    joinNode(held.db, 'box', {
      [`${MODEL}:latest`]: { kinds: ['embed', 'vectors'], engine: 'ollama' },
      [MODEL]: { kinds: ['embed', 'vectors'], engine: 'ollama' },
    })
  const jobs = async () =>
    (
      await held.db.pool.query<{ payload: object; class: string }>(
        'select payload, class from earshot.jobs',
      )
    ).rows
  /** Lets the node do the next job, as soon as there is one. */
  const answer = async (node: NodeByHand, vector: number[]) => {
    await expect.poll(async () => (await jobs()).length, { timeout: 30_000 }).toBeGreaterThan(0)
    await node.finish(await node.take(), {
      output: { model: MODEL, vectors: [vector], engine: 'ollama' },
    })
    awaitedJobs.look()
  }

  test('needs a model, and vectors of documents', async () => {
    await held.db.pool.query('update earshot.settings set embed_dimensions = null')
    expect(await vectors.understand('ship')).toEqual({
      note: expect.stringContaining(
        'No document has been embedded by model "nomic-embed-text" yet.',
      ),
    })
    await held.db.pool.query(`update earshot.settings set embed_model = 'lexical-384'`)
    expect(await vectors.understand('ship')).toEqual({})
  })

  test('is not waited for where nobody has the model, and leaves nothing queued', async () => {
    expect(await vectors.understand('ship')).toEqual({
      note: expect.stringMatching(/nomic-embed-text.* by words alone\.$/),
    })
    expect(await jobs()).toEqual([])
  })

  test('comes from a node by an interactive job, with the prefix that the model wants, and is remembered', async () => {
    const node = await join()
    const [first, second] = [vectors.understand('ship'), vectors.understand('ship')]
    await answer(node, [1, 0, 0])
    const meaning = { model: MODEL, vector: [1, 0, 0], floor: 0.6 }
    expect([await first, await second, await vectors.understand('ship')]).toEqual([
      { meaning },
      { meaning },
      { meaning },
    ])
    expect(await jobs()).toEqual([
      { payload: { model: MODEL, texts: ['search_query: ship'] }, class: 'interactive' },
    ])
  })

  test("of another size than the documents' vectors is none", async () => {
    const node = await join()
    const asked = vectors.understand('ship')
    await answer(node, [1, 0, 0, 0])
    expect(await asked).toEqual({
      note: expect.stringContaining(
        'now makes vectors of 4 dimensions, and those of the documents have 3.',
      ),
    })
  })

  test('that could not be had is asked for anew the next time', async () => {
    const node = await join()
    const asked = vectors.understand('ship')
    await expect.poll(async () => (await jobs()).length, { timeout: 30_000 }).toBe(1)
    await node.finish(await node.take(), {
      error: { code: 'EARSHOT_BAD_REQUEST', message: 'Not like this.', verdict: 'final' },
    })
    awaitedJobs.look()
    expect(await asked).toEqual({ note: expect.stringContaining('Not like this.') })
    await held.db.pool.query('delete from earshot.jobs')
    const again = vectors.understand('ship')
    await answer(node, [0, 1, 0])
    expect(await again).toMatchObject({ meaning: { vector: [0, 1, 0] } })
  })

  test('of a coordinator that stops is waited for no longer', async () => {
    await join()
    const asked = vectors.understand('ship')
    await expect.poll(async () => (await jobs()).length, { timeout: 30_000 }).toBe(1)
    vectors.stop()
    expect(await asked).toEqual({ note: expect.stringContaining('This coordinator stops.') })
    await expect
      .poll(async () => (await held.db.pool.query('select status from earshot.jobs')).rows, {
        timeout: 30_000,
      })
      .toEqual([{ status: 'cancelled' }])
  })
})
