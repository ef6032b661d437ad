import { submitDocument } from '@earshot/db/functions/documents'
import {
  forgetInboxFile,
  listInboxFiles,
  refuseInboxFile,
  takeInboxFile,
} from '@earshot/db/functions/inbox'
import { cancelJobs, handBackJobs, startJobs, submitJobs } from '@earshot/db/functions/jobs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, eventTypes, finish, jobRow, join } from './fixture.ts'

const HASH = 'a'.repeat(64)
const OTHER = 'b'.repeat(64)
const recording = {
  hash: HASH,
  size: 10,
  holder: 'desk',
  path: '/in/talk.wav',
  title: 'talk.wav',
  kind: 'audio' as const,
}
const file = (path: string, hash: string) => ({
  path,
  absolute: `/in/${path}`,
  size: 10,
  mtimeNs: 1_790_000_000_123_456_789n,
  hash,
  kind: 'audio' as const,
})
const segment = {
  start_s: 1,
  end_s: 2,
  text: 'hello world',
  confidence: 0.5,
  words: [{ text: 'hello', start_s: 1, end_s: 1.5 }],
}
const vector = Array.from({ length: 384 }, (_, i) => (i === 0 ? 1 : 0))

describe.each(databases)('documents on %s', (kind) => {
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
    await held.db.pool.query('delete from earshot.inbox_files')
    await held.db.pool.query('delete from earshot.media')
    n1 = await join(held.db, 'n1')
  })
  const db = () => held.db
  const document = async (id: number) =>
    (
      await db().pool.query(
        'select status, error, error_code, duration_s, node, engine from earshot.documents where id = $1',
        [id],
      )
    ).rows[0]
  const transcribe = async (id: number) => {
    const [job] = (await assignAll(db(), 'n1', n1)).filter((one) => one.kind === 'transcribe')
    expect(job!.document_id).toBe(id)
    expect(
      await finish(db(), 'n1', n1, job!, {
        output: { duration_s: 3, engine: 'ear', segments: [segment] },
      }),
    ).toBe('done')
  }

  test('is queued, then processing, and ready only with its chunks', async () => {
    const { document_id, job_id } = await submitDocument(db().pool, recording)
    expect(await document(document_id)).toMatchObject({ status: 'queued' })
    const [job] = await assignAll(db(), 'n1', n1)
    await startJobs(db().pool, 'n1', n1, [job!])
    expect(await document(document_id)).toMatchObject({ status: 'processing' })
    await finish(db(), 'n1', n1, job!, {
      output: { duration_s: 3, engine: 'ear', segments: [segment] },
    })
    expect(await document(document_id)).toMatchObject({
      status: 'processing',
      duration_s: 3,
      node: 'n1',
      engine: 'ear',
    })
    const [embed] = await assignAll(db(), 'n1', n1)
    expect(embed).toMatchObject({ kind: 'embed', document_id })
    await finish(db(), 'n1', n1, embed!, {
      output: {
        chunks: [
          { start_s: 1, end_s: 2, text: 'hello world', model: 'lexical-384', embedding: vector },
        ],
      },
    })
    expect(await document(document_id)).toMatchObject({ status: 'ready' })
    expect(await eventTypes(db(), job_id)).toEqual(['job.queued', 'job.started', 'job.completed'])
    const { rows } = await db().pool.query(
      'select file_path, status, assigned_node, result from earshot.transcription_jobs',
    )
    expect(rows).toEqual([
      {
        file_path: '/in/talk.wav',
        status: 'completed',
        assigned_node: 'n1',
        result: 'hello world',
      },
    ])
  })

  test('is ready also when the job that makes it so was handed back once', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await transcribe(document_id)
    const [first] = await assignAll(db(), 'n1', n1)
    await handBackJobs(db().pool, 'n1', n1, [first!], { sentence: 'This node stops.' })
    const [embed] = await assignAll(db(), 'n1', n1)
    await finish(db(), 'n1', n1, embed!, {
      output: {
        chunks: [
          { start_s: 1, end_s: 2, text: 'hello world', model: 'lexical-384', embedding: vector },
        ],
      },
    })
    expect(await document(document_id)).toMatchObject({ status: 'ready' })
  })

  test('a vector of another size fails the job that brought it, and the document says why', async () => {
    const { document_id } = await submitDocument(db().pool, recording)
    await transcribe(document_id)
    await db().pool.query('update earshot.jobs set max_tries = 1')
    const [embed] = await assignAll(db(), 'n1', n1)
    await finish(db(), 'n1', n1, embed!, {
      output: {
        chunks: [{ start_s: 1, end_s: 2, text: 'x', model: 'lexical-384', embedding: [1, 2] }],
      },
    })
    expect(await document(document_id)).toMatchObject({
      status: 'failed',
      error_code: 'EARSHOT_RESULT_REFUSED',
    })
  })

  test('the same content again is the same document; one that failed is tried anew', async () => {
    const first = await submitDocument(db().pool, recording)
    expect(await submitDocument(db().pool, { ...recording, title: 'other name' })).toEqual({
      ...first,
      duplicate: true,
    })
    await cancelJobs(db().pool, [first.job_id])
    expect(await document(first.document_id)).toMatchObject({
      status: 'failed',
      error_code: 'EARSHOT_CANCELLED',
    })
    const again = await submitDocument(db().pool, recording)
    expect(again).toMatchObject({ document_id: first.document_id, duplicate: false })
    expect(again.job_id).not.toBe(first.job_id)
    expect(await document(first.document_id)).toMatchObject({ status: 'queued', error: null })
  })

  test('media that was sent can be transcribed by a plain job: it gets a document', async () => {
    await db().pool.query(
      `insert into earshot.media (hash, size, holder, path) values ($1, 1, 'desk', '/x')`,
      [HASH],
    )
    const [job] = await submitJobs(db().pool, [
      { kind: 'transcribe', payload: { media: HASH, title: 'by SQL' } },
    ])
    const { rows } = await db().pool.query('select id, title, status from earshot.documents')
    expect(rows).toMatchObject([{ title: 'by SQL', status: 'queued' }])
    expect(await jobRow(db(), job!.id)).toMatchObject({ document_id: rows[0].id })
  })

  test('an inbox remembers what it took, to the nanosecond, and under how many names', async () => {
    const first = await takeInboxFile(db().pool, 'desk', file('a.wav', HASH))
    expect(await takeInboxFile(db().pool, 'desk', file('b.wav', HASH))).toMatchObject({
      document_id: first.document_id,
      duplicate: true,
    })
    await takeInboxFile(db().pool, 'desk', file('a.wav', HASH))
    const known = await listInboxFiles(db().pool, 'desk')
    expect(known.toSorted((a, b) => a.path.localeCompare(b.path))).toMatchObject([
      { path: 'a.wav', status: 'taken', mtime_ns: '1790000000123456789', hash: HASH },
      { path: 'b.wav', status: 'duplicate' },
    ])
    expect(await listInboxFiles(db().pool, 'attic')).toEqual([])
  })

  test('a refused file is a failed document and a failed job with the sentence, and an event', async () => {
    const refused = await refuseInboxFile(db().pool, 'desk', {
      path: 'pipe',
      size: null,
      mtimeNs: null,
      kind: 'audio',
      code: 'EARSHOT_MEDIA_REFUSED',
      sentence: 'It is a pipe.',
    })
    expect(await document(refused.document_id)).toMatchObject({
      status: 'failed',
      error: 'It is a pipe.',
      error_code: 'EARSHOT_MEDIA_REFUSED',
    })
    expect(await jobRow(db(), refused.job_id)).toMatchObject({
      status: 'failed',
      error: 'It is a pipe.',
      kind: 'transcribe',
    })
    expect(await eventTypes(db(), refused.job_id)).toEqual(['document.failed'])
    const repeat = (sentence: string) =>
      refuseInboxFile(db().pool, 'desk', {
        path: 'pipe',
        size: null,
        mtimeNs: null,
        kind: 'audio',
        code: 'EARSHOT_MEDIA_REFUSED',
        sentence,
      })
    expect(await repeat('It is a pipe.')).toEqual(refused)
    expect(await repeat('It is a socket.')).not.toEqual(refused)
  })

  test('a file that changed before it was done ends its old job and is taken anew', async () => {
    const old = await takeInboxFile(db().pool, 'desk', file('a.wav', HASH))
    const fresh = await takeInboxFile(db().pool, 'desk', file('a.wav', OTHER))
    expect(await jobRow(db(), old.job_id)).toMatchObject({
      status: 'failed',
      error_code: 'EARSHOT_MEDIA_CHANGED',
    })
    expect(await document(old.document_id)).toMatchObject({ status: 'failed' })
    expect(fresh.document_id).not.toBe(old.document_id)
    expect(await document(fresh.document_id)).toMatchObject({ status: 'queued' })
  })

  test('a file removed while it waits ends its job; the same content under another name carries on from there', async () => {
    const a = await takeInboxFile(db().pool, 'desk', file('a.wav', HASH))
    await takeInboxFile(db().pool, 'desk', file('b.wav', HASH))
    await forgetInboxFile(db().pool, 'desk', 'b.wav')
    expect(await jobRow(db(), a.job_id)).toMatchObject({ status: 'pending' })
    expect((await db().pool.query('select path from earshot.media')).rows).toEqual([
      { path: '/in/a.wav' },
    ])
    await forgetInboxFile(db().pool, 'desk', 'a.wav')
    expect(await jobRow(db(), a.job_id)).toMatchObject({
      status: 'failed',
      error_code: 'EARSHOT_MEDIA_GONE',
      error: expect.stringContaining('“a.wav” was removed'),
    })
  })

  test('a file removed from one inbox is heard from another coordinator that has the same content', async () => {
    const a = await takeInboxFile(db().pool, 'desk', file('a.wav', HASH))
    await takeInboxFile(db().pool, 'attic', file('b.wav', HASH))
    await forgetInboxFile(db().pool, 'desk', 'a.wav')
    expect(await jobRow(db(), a.job_id)).toMatchObject({ status: 'pending' })
    expect((await db().pool.query('select holder, path from earshot.media')).rows).toEqual([
      { holder: 'attic', path: '/in/b.wav' },
    ])
    await takeInboxFile(db().pool, 'attic', file('b.wav', OTHER))
    expect(await jobRow(db(), a.job_id)).toMatchObject({
      status: 'failed',
      error_code: 'EARSHOT_MEDIA_CHANGED',
    })
  })

  test('what was heard stays when the file goes', async () => {
    const { document_id } = await takeInboxFile(db().pool, 'desk', file('a.wav', HASH))
    await transcribe(document_id)
    await forgetInboxFile(db().pool, 'desk', 'a.wav')
    expect(await document(document_id)).toMatchObject({ status: 'processing' })
    expect((await db().pool.query('select text from earshot.segments')).rows).toEqual([
      { text: 'hello world' },
    ])
  })
})
