import { createHash } from 'node:crypto'
import { PROTOCOL } from '@earshot/contract'
import { touchCoordinator } from '@earshot/db/functions/leadership'
import { createMediaStore } from '@earshot/shared/media/store'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { heard } from './corpus-by-hand.ts'
import { type Mesh, startMesh } from './mesh.ts'
import { joinNode } from './node-by-hand.ts'

describe.each(databases)('documents over HTTP (%s)', (kind) => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await startMesh(kind)
  })
  afterAll(() => mesh[Symbol.asyncDispose]())

  test('the same content twice is one document, and said so', async () => {
    const { hash } = await mesh.client.addMedia(Buffer.from('twice'))
    const first = await mesh.client.addDocument({
      media: hash,
      title: 'a "quoted"\nname 😀.mp3',
      kind: 'audio',
    })
    expect(first).toMatchObject({ duplicate: false })
    expect(
      await mesh.client.addDocument({ media: hash, title: 'other.mp3', kind: 'audio' }),
    ).toEqual({ ...first, duplicate: true })
    expect(await mesh.client.document(first.document_id)).toMatchObject({
      title: 'a "quoted"\nname 😀.mp3',
      status: 'queued',
      kind: 'audio',
      corpus: 'default',
      media: hash,
      error: null,
      job_id: first.job_id,
      segments: 0,
      chunks: 0,
      ready_at: null,
    })
    await mesh.client.cancel(first.job_id)
    expect(await mesh.client.document(first.document_id)).toMatchObject({
      status: 'failed',
      error: { code: 'EARSHOT_CANCELLED', message: expect.any(String) },
    })
  })

  test('a language that is said goes to a node that hears it', async () => {
    const { hash } = await mesh.client.addMedia(Buffer.from('Guten Morgen'))
    const { job_id } = await mesh.client.addDocument({
      media: hash,
      title: 'morgen.mp3',
      kind: 'audio',
      language: 'de',
    })
    expect(await mesh.client.get(job_id)).toMatchObject({
      payload: { language: 'de' },
      requires: { languages: '*,de,*' },
    })
    await mesh.client.cancel(job_id)
    const text = await mesh.client.addMedia(Buffer.from('Guten Tag'))
    const read = await mesh.client.addDocument({
      media: text.hash,
      title: 'tag.txt',
      kind: 'text',
      language: 'de',
    })
    expect(await mesh.client.get(read.job_id)).toMatchObject({ kind: 'read', requires: {} })
    await mesh.client.cancel(read.job_id)
    await expect(
      mesh.client.addDocument({ media: hash, title: 'x', kind: 'audio', language: 'German' }),
    ).rejects.toMatchObject({ code: 'EARSHOT_BAD_REQUEST', field: 'language' })
  })

  test('a recording without a word says so, with its level and what is odd about it', async () => {
    const { hash } = await mesh.client.addMedia(Buffer.from('nothing'))
    const { document_id: id } = await mesh.client.addDocument({
      media: hash,
      title: 'nothing.wav',
      kind: 'audio',
    })
    expect(await mesh.client.document(id)).toMatchObject({ no_speech: false, level_db: null })
    const node = await joinNode(mesh.test.db)
    const job = await node.take()
    await node.start(job)
    const odd = { level_db: -91, no_speech: true, warnings: ['Its header is wrong.'] }
    await node.finish(job, { output: { duration_s: 9, engine: 'ear', segments: [], ...odd } })
    expect((await mesh.client.get(job.id)).result).toMatchObject(odd)
    const embed = await node.take()
    await node.start(embed)
    await node.finish(embed, { output: { chunks: [] } })
    expect(await mesh.client.document(id)).toMatchObject({ status: 'ready', ...odd })
  })

  test('a document is queued, processed, heard and read back in every format', async () => {
    const { hash } = await mesh.client.addMedia(Buffer.from('a talk'))
    const { document_id: id, job_id } = await mesh.client.addDocument({
      media: hash,
      title: 'talk.mp3',
      kind: 'audio',
    })
    const node = await joinNode(mesh.test.db)
    const job = await node.take()
    expect(job.id).toBe(job_id)
    await node.start(job)
    expect((await mesh.client.document(id)).status).toBe('processing')
    const segments = [heard(0, 'the kettle is on'), heard(3661.5, 'and the door is open')]
    await node.finish(job, { output: { duration_s: 3664, engine: 'ear', segments } })
    expect(await mesh.client.document(id)).toMatchObject({
      status: 'processing',
      duration_s: 3664,
      node: 'box',
      segments: 2,
    })
    expect(await mesh.client.segments(id)).toMatchObject([
      { start_s: 0, text: 'the kettle is on', words: [{ text: 'the', start_s: 0 }, {}, {}, {}] },
      { start_s: 3661.5 },
    ])
    expect(await mesh.client.transcript(id)).toContain('the kettle is on')
    expect(await mesh.client.transcript(id, 'srt')).toMatch(
      /^1\r?\n00:00:00,000 --> 00:00:01,900\r?\nthe kettle is on/,
    )
    expect(await mesh.client.transcript(id, 'vtt')).toMatch(
      /^WEBVTT\n[^]*01:01:01\.500 --> 01:01:03\.900\nand the door is open/,
    )
    expect(JSON.parse(await mesh.client.transcript(id, 'json'))).toMatchObject({
      segments: [{ text: 'the kettle is on' }, { start_s: 3661.5 }],
    })
    expect(
      (await mesh.client.documents({ status: 'processing' })).map((document) => document.id),
    ).toEqual([id])
    const response = await fetch(`${mesh.url}/v1/documents/${id}/transcript?format=vtt`)
    expect(response.headers.get('content-type')).toBe('text/vtt; charset=utf-8')
  })

  test('speech is an artifact with name, size and type; another coordinator hands it through', async () => {
    const wav = Buffer.from('RIFF pretend speech')
    const { id: jobId } = await mesh.client.enqueue('speak', { text: 'hello' }, { priority: 1_000 })
    const node = await joinNode(mesh.test.db)
    const job = await node.take()
    expect(job.id).toBe(jobId)
    const { hash, size } = await mesh.client.addMedia(wav)
    await node.finish(job, {
      output: {
        media: hash,
        size,
        holder: 'here',
        path: mesh.media.path(hash),
        duration_s: 1.5,
        engine: 'mouth',
      },
    })
    const { result } = await mesh.client.get<'speak'>(jobId)
    const artifact = await mesh.client.artifact(result!.artifact_id)
    expect(artifact).toMatchObject({
      name: `speech-${artifact.id}.wav`,
      type: 'audio/wav',
      size: wav.length,
      hash: createHash('sha256').update(wav).digest('hex'),
    })
    expect(Buffer.from(await new Response(artifact.body).arrayBuffer())).toEqual(wav)

    await using other = await startMesh(kind, {
      test: mesh.test,
      coordinatorId: 'there',
      media: await createMediaStore(`${mesh.test.home}/there`),
    })
    await expect(other.client.artifact(artifact.id)).rejects.toMatchObject({
      code: 'EARSHOT_MEDIA_GONE',
    })
    await touchCoordinator(mesh.test.db.pool, {
      id: 'here',
      url: mesh.url,
      version: '0',
      protocol: PROTOCOL,
    })
    expect(
      Buffer.from(
        await new Response((await other.client.artifact(artifact.id)).body).arrayBuffer(),
      ),
    ).toEqual(wav)
    await expect(
      other.client.addDocument({ media: hash, title: 'x', kind: 'audio' }),
    ).rejects.toMatchObject({ code: 'EARSHOT_NOT_FOUND', field: 'media' })
  })
})
