import { submitDocument } from '@earshot/db/functions/documents'
import { cancelJobs, retryJobs, submitJobs } from '@earshot/db/functions/jobs'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { archiveJobs } from '@earshot/db/functions/retention'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, finish, jobRow, join } from './fixture.ts'

const HASH = 'a'.repeat(64)
const recording = {
  hash: HASH,
  size: 10,
  holder: 'desk',
  path: '/in/talk.wav',
  title: 'talk.wav',
  kind: 'audio' as const,
}
const HEARD = {
  output: {
    duration_s: 3,
    engine: 'ear',
    segments: [{ start_s: 1, end_s: 2, text: 'hello', confidence: 0.5, words: [] }],
  },
}
const EMBEDDED = {
  output: {
    chunks: [
      {
        start_s: 1,
        end_s: 2,
        text: 'hello',
        model: 'lexical-384',
        embedding: [1, ...Array<number>(383).fill(0)],
      },
    ],
  },
}

describe.each(databases)('work that is submitted again, on %s', (kind) => {
  let held: TestDatabase
  let n1: number
  beforeAll(async () => {
    held = await testDatabase(kind)
  })
  afterAll(async () => {
    await held[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    await held.db.pool.query('delete from earshot.jobs')
    await held.db.pool.query('delete from earshot.documents')
    n1 = await join(held.db, 'n1')
  })
  const db = () => held.db
  const status = async (id: number) =>
    (await db().pool.query('select status from earshot.documents where id = $1', [id])).rows[0]
      .status
  /** Routes what is pending and finishes it, in the order of the ids: one generation of jobs. */
  const work = async () => {
    const jobs = (await assignAll(db(), 'n1', n1)).toSorted((a, b) => a.id - b.id)
    for (const job of jobs)
      expect(await finish(db(), 'n1', n1, job, job.kind === 'embed' ? EMBEDDED : HEARD)).toBe(
        'done',
      )
  }

  test('a repeat with the same idempotency key leaves the document as it is, since nothing is done anew', async () => {
    await submitDocument(db().pool, recording)
    await work()
    await work()
    const job = { kind: 'transcribe', payload: { media: HASH }, idempotency_key: 'once' }
    const [first] = await submitJobs(db().pool, [job])
    await work()
    await work()
    const { document_id } = await jobRow(db(), first!.id)
    expect(await status(document_id as number)).toBe('ready')
    expect(await submitJobs(db().pool, [job])).toEqual([{ id: first!.id, duplicate: true }])
    expect(await status(document_id as number)).toBe('ready')
  })

  test('a document whose lexical embed is cancelled fails, although another model is still to embed it', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await work()
    const [lexical] = (await db().pool.query("select id from earshot.jobs where kind = 'embed'"))
      .rows
    await submitJobs(db().pool, [{ kind: 'embed', payload: { document_id, model: 'm' } }])
    await cancelJobs(db().pool, [lexical.id])
    expect(await status(document_id)).toBe('failed')
  })

  test('one that is skipped since its parent failed fails likewise', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await work()
    await db().pool.query("delete from earshot.jobs where kind = 'embed'")
    const [parent] = await submitJobs(db().pool, [{ kind: 'speak', payload: { text: 'first' } }])
    await submitJobs(db().pool, [
      { kind: 'embed', payload: { document_id }, after: [parent!.id] },
      { kind: 'embed', payload: { document_id, model: 'm' } },
    ])
    await cancelJobs(db().pool, [parent!.id])
    expect(await status(document_id)).toBe('failed')
  })

  test('what was embedded of a transcript that was replaced meanwhile is dropped, and embedded again', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await work()
    const [stale] = await assignAll(db(), 'n1', n1)
    const again = { kind: 'transcribe', payload: { media: HASH, document_id } }
    await submitJobs(db().pool, [again])
    const newer = (await assignAll(db(), 'n1', n1)).find((job) => job.kind === 'transcribe')
    await finish(db(), 'n1', n1, newer!, HEARD)
    expect(await finish(db(), 'n1', n1, stale!, EMBEDDED)).toBe('lost')
    expect(await status(document_id)).toBe('processing')
    await work()
    expect(await status(document_id)).toBe('ready')
  })

  test('an older transcript does not replace a newer one that was done while it was made', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await submitJobs(db().pool, [
      { kind: 'transcribe', payload: { media: HASH, document_id, language: 'de' } },
    ])
    const [older, newer] = (await assignAll(db(), 'n1', n1)).toSorted((a, b) => a.id - b.id)
    await finish(db(), 'n1', n1, newer!, HEARD)
    const other = { ...HEARD.output, segments: [{ ...HEARD.output.segments[0]!, text: 'old' }] }
    expect(await finish(db(), 'n1', n1, older!, { output: other })).toBe('done')
    const { rows } = await db().pool.query('select text from earshot.segments')
    expect(rows).toEqual([{ text: 'hello' }])
    expect((await jobRow(db(), older!.id)).result).toMatchObject({ superseded_by: newer!.id })
  })

  const keyed = (payload: object, more: { kind?: string; idempotency_key?: string } = {}) => ({
    kind: 'transcribe',
    idempotency_key: 'k',
    ...more,
    payload: payload as Record<string, unknown>,
  })
  const OTHER = 'b'.repeat(64)

  test.each([
    ['other media', keyed({ media: OTHER })],
    ['another payload', keyed({ media: HASH, language: 'de' })],
    ['another kind', keyed({ text: 'hello' }, { kind: 'speak' })],
  ])('a key that was used before is refused with %s, and nothing is left of it', async (_, job) => {
    for (const hash of [HASH, OTHER])
      await db().pool.query(
        `insert into earshot.media (hash, size, holder, path) values ($1, 1, 'desk', '/in/' || $1) on conflict do nothing`,
        [hash],
      )
    const [first] = await submitJobs(db().pool, [keyed({ media: HASH })])
    const refusal = {
      code: 'EARSHOT_KEY_REUSED',
      message: expect.stringContaining(`"k" belongs to job ${first!.id}`),
    }
    await expect(submitJobs(db().pool, [job])).rejects.toMatchObject(refusal)
    await db().pool.query(
      `update earshot.jobs set status = 'cancelled', finished_at = now() - interval '1 year'`,
    )
    const term = await acquireLeadership(db().pool, 'test', true)
    await archiveJobs(db().pool, term!)
    await expect(submitJobs(db().pool, [job])).rejects.toMatchObject(refusal)
    expect(await submitJobs(db().pool, [keyed({ media: HASH })])).toEqual([
      { id: first!.id, duplicate: true },
    ])
    const { rows } = await db().pool.query('select media_hash from earshot.documents')
    expect(rows).toEqual([{ media_hash: HASH }])
    await db().pool.query('delete from earshot.jobs_archive')
  })

  test('two jobs of one submission under one key are refused unless they ask for the same', async () => {
    const say = (text: string) => keyed({ text }, { kind: 'speak', idempotency_key: 'both' })
    await expect(submitJobs(db().pool, [say('a'), say('b')])).rejects.toMatchObject({
      code: 'EARSHOT_KEY_REUSED',
      message: expect.stringContaining('Job 2'),
    })
    const [a, b] = await submitJobs(db().pool, [say('a'), say('a')])
    expect([a!.duplicate, b]).toEqual([false, { id: a!.id, duplicate: true }])
  })

  test('content whose document waits without a job is transcribed when it is dropped again', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await db().pool.query('delete from earshot.jobs')
    expect(await submitDocument(db().pool, recording)).toMatchObject({
      document_id,
      duplicate: false,
    })
    expect(await submitDocument(db().pool, recording)).toMatchObject({ duplicate: true })
    await work()
    await work()
    expect(await status(document_id)).toBe('ready')
  })

  test.runIf(kind === 'postgres').each([
    ['while its job is moved to the archive', true],
    ['while another submission with it is not committed yet', false],
  ])('a key that is repeated %s makes no second job', async (_, archived) => {
    const job = keyed({ text: 'once' }, { kind: 'speak', idempotency_key: `race ${archived}` })
    const term = await acquireLeadership(db().pool, 'test', true)
    const other = await db().pool.connect()
    try {
      const submit = () =>
        other.query('select id from earshot.submit_jobs($1)', [JSON.stringify([job])])
      if (!archived) await other.query('begin')
      const { id } = (await submit()).rows[0]
      if (archived) {
        await other.query(
          `update earshot.jobs set status = 'cancelled', finished_at = now() - interval '1 year'; begin`,
        )
        await other.query('select earshot.archive_jobs($1)', [term])
      }
      const again = submitJobs(db().pool, [job])
      await vi.waitUntil(async () => {
        const { rows } = await db().pool.query('select from pg_locks where not granted')
        return rows.length > 0
      }, 20_000)
      await other.query('commit')
      expect(await again).toEqual([{ id, duplicate: true }])
    } finally {
      other.release(true)
    }
  })

  test('a document that failed is queued again by a new job for its media', async () => {
    const { document_id, job_id } = await submitDocument(db().pool, recording)
    await cancelJobs(db().pool, [job_id])
    await submitJobs(db().pool, [{ kind: 'transcribe', payload: { media: HASH } }])
    expect(await status(document_id)).toBe('queued')
    await work()
    await work()
    expect(await status(document_id)).toBe('ready')
  })

  test('a document that is ready stays so when a second transcription of it is cancelled', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await work()
    await work()
    const [second] = await submitJobs(db().pool, [{ kind: 'transcribe', payload: { media: HASH } }])
    await cancelJobs(db().pool, [second!.id])
    expect(await status(document_id)).toBe('ready')
  })

  test('cancelling one of two jobs for a document does not fail it: the other goes on', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await work()
    const [second] = await submitJobs(db().pool, [{ kind: 'transcribe', payload: { media: HASH } }])
    await cancelJobs(db().pool, [second!.id])
    expect(await status(document_id)).toBe('processing')
    await work()
    expect(await status(document_id)).toBe('ready')
  })

  test('a document fails when the last of its jobs ends, also when all end at once', async () => {
    const { document_id, job_id } = await submitDocument(db().pool, recording)
    const [second] = await submitJobs(db().pool, [{ kind: 'transcribe', payload: { media: HASH } }])
    await cancelJobs(db().pool, [job_id])
    expect(await status(document_id)).toBe('queued')
    const [third] = await submitJobs(db().pool, [{ kind: 'transcribe', payload: { media: HASH } }])
    await cancelJobs(db().pool, [second!.id, third!.id])
    expect(await status(document_id)).toBe('failed')
  })

  test('an embedding that was cancelled can be tried again, and makes the document ready however quick it is', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await work()
    const {
      rows: [embed],
    } = await db().pool.query(`select id from earshot.jobs where kind = 'embed'`)
    await cancelJobs(db().pool, [embed.id])
    expect(await status(document_id)).toBe('failed')
    await retryJobs(db().pool, [embed.id])
    await work()
    expect(await status(document_id)).toBe('ready')
  })

  test('a document whose job fails with its parent fails too, and those who follow the events are told', async () => {
    await db().pool.query(
      `insert into earshot.media (hash, size, holder, path) values ($1, 1, 'desk', '/x') on conflict do nothing`,
      [HASH],
    )
    const [parent, child] = await submitJobs(db().pool, [
      { kind: 'speak', payload: { text: 'first' } },
      { kind: 'transcribe', payload: { media: HASH }, after: ['#1'] },
    ])
    await cancelJobs(db().pool, [parent!.id])
    const { document_id } = await jobRow(db(), child!.id)
    expect(await status(document_id as number)).toBe('failed')
    const { rows } = await db().pool.query(
      'select type, data from earshot.events where document_id = $1 and job_id is null',
      [document_id],
    )
    expect(rows).toMatchObject([
      { type: 'document.failed', data: { code: 'EARSHOT_PARENT_FAILED' } },
    ])
  })

  test('an idempotency key that looks like a place in the request is a key like any other', async () => {
    const made = await submitJobs(db().pool, [
      { kind: 'speak', payload: { text: 'with a key' }, idempotency_key: '#2' },
      { kind: 'speak', payload: { text: 'without' } },
    ])
    expect(made.map((job) => job.duplicate)).toEqual([false, false])
    expect(new Set(made.map((job) => job.id)).size).toBe(2)
  })

  test('a submission with a waiting parent keeps what it names by place, also beside keys', async () => {
    const made = await submitJobs(db().pool, [
      { kind: 'speak', payload: { text: 'first' }, idempotency_key: 'first' },
      { kind: 'speak', payload: { text: 'then' }, after: ['#1'] },
      { kind: 'speak', payload: { text: 'first' }, idempotency_key: 'first' },
    ])
    expect(made.map((job) => job.duplicate)).toEqual([false, false, true])
    expect(made[2]!.id).toBe(made[0]!.id)
    expect(await jobRow(db(), made[1]!.id)).toMatchObject({ status: 'blocked' })
  })
})
