import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import path from 'node:path'
import { createClient } from '@earshot/sdk'
import OpenAI, { APIError, toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, startProcess } from '../helpers/mesh.ts'

const TEXT = 'the weather report says rain in the morning'

/** OpenAI's own client, as its users have it, and one process started with `earshot up`. */
describe('a client of OpenAI', () => {
  let database: TestDatabase
  let mesh: MeshProcess
  let url: string
  let client: OpenAI
  let spoken: Buffer

  beforeAll(async () => {
    database = await testDatabase('embedded')
    await database.db.close()
    await writeFile(
      path.join(database.home, 'config.yaml'),
      'door: { aliases: { my narrator: slt, my-ears: pocketsphinx-en-us } }\nlimits: { max_media_gb: 0.001 }\n',
    )
    mesh = await startProcess('up', {
      EARSHOT_HOME: database.home,
      EARSHOT_INBOX: path.join(database.home, 'inbox'),
      EARSHOT_PORT: '0',
    })
    url = mesh.announced.url!
    client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' })
  }, 120_000)
  afterAll(async () => {
    await mesh?.stop()
    await database?.[Symbol.asyncDispose]()
  })

  const failureOf = async (asked: Promise<unknown>): Promise<InstanceType<typeof APIError>> => {
    const error = await asked.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (error instanceof APIError) return error
    throw new Error(`It did not fail as the client knows failures: ${String(error)}`)
  }
  const recording = () => toFile(spoken, 'rain.mp3')
  /** Recordings of requests that are over must not stay. */
  const uploads = async () =>
    (
      await readdir(path.join(database.home, 'uploads'), { recursive: true, withFileTypes: true })
    ).filter((entry) => entry.isFile())

  test('makes speech', async () => {
    const answer = await client.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: TEXT })
    expect(answer.headers.get('content-type')).toBe('audio/mpeg')
    expect(answer.headers.get('x-earshot-node')).toBe(mesh.announced.node)
    expect(answer.headers.get('x-earshot-model')).toBe('flite')
    spoken = Buffer.from(await answer.arrayBuffer())
    const [job] = await createClient({ url }).jobs({
      ids: [Number(answer.headers.get('x-earshot-job'))],
    })
    expect(job).toMatchObject({ kind: 'speak', class: 'interactive', status: 'completed' })
  })

  test('makes speech with a voice of one engine, whatever others speak too', async () => {
    const answer = await client.audio.speech.create({
      model: 'tts-1',
      voice: 'kal16',
      input: 'Rain.',
    })
    expect(answer.headers.get('x-earshot-model')).toBe('flite')
    await answer.arrayBuffer()
  })

  test('makes speech with a voice that the settings name, as a WAV file', async () => {
    const answer = await client.audio.speech.create({
      model: 'flite',
      voice: 'my narrator',
      input: 'Rain.',
      response_format: 'wav',
    })
    expect(
      Buffer.from(await answer.arrayBuffer())
        .subarray(0, 4)
        .toString(),
    ).toBe('RIFF')
  })

  test('hears it, in every format', async () => {
    const { text } = await client.audio.transcriptions.create({
      model: 'whisper-1',
      file: await recording(),
    })
    expect(text).toContain('rain in the morning')
    const verbose = await client.audio.transcriptions.create({
      model: 'my-ears',
      file: await recording(),
      response_format: 'verbose_json',
      timestamp_granularities: ['word', 'segment'],
    })
    expect(verbose).toMatchObject({
      task: 'transcribe',
      model: 'pocketsphinx-en-us',
      segments: [{ id: 0 }],
    })
    expect(verbose.words?.find(({ word }) => word === 'rain')).toMatchObject({
      start: expect.any(Number),
      end: expect.any(Number),
    })
    const srt = await client.audio.transcriptions.create({
      model: 'whisper-1',
      file: await recording(),
      response_format: 'srt',
    })
    expect(srt).toMatch(/^1\n00:00:00,\d{3} --> 00:00:0\d,\d{3}\n.*rain/)
    await expect.poll(uploads).toEqual([])
  })

  test('hears it as a stream', async () => {
    const events = []
    for await (const event of await client.audio.transcriptions.create({
      model: 'gpt-4o-transcribe',
      file: await recording(),
      stream: true,
    }))
      events.push(event)
    expect(events.at(-1)).toMatchObject({
      type: 'transcript.text.done',
      text: expect.stringContaining('rain'),
      model: 'pocketsphinx-en-us',
    })
    const { response } = await client.audio.transcriptions
      .create({ model: 'pocketsphinx-en-us', file: await recording(), stream: true })
      .withResponse()
    expect(response.headers.get('x-earshot-model')).toBe('pocketsphinx-en-us')
    await response.body?.cancel()
    expect(
      events
        .flatMap((event) => (event.type === 'transcript.text.delta' ? [event.delta] : []))
        .join(''),
    ).toContain('rain')
  })

  test('hands in a recording, and follows it as a job', async () => {
    const form = new FormData()
    form.set('file', new Blob([Uint8Array.from(spoken)]), 'rain.mp3')
    const answer = await fetch(`${url}/v1/audio/transcriptions?async=1`, {
      method: 'POST',
      body: form,
    })
    expect(answer.status).toBe(202)
    const { id, document_id } = (await answer.json()) as { id: number; document_id: number }
    const sdk = createClient({ url })
    await sdk.wait(id)
    expect((await sdk.document(document_id)).title).toBe('rain.mp3')
  })

  test('hands in a recording in a language that nobody hears: it waits, and it is said what for', async () => {
    const form = new FormData()
    form.set('file', new Blob([Uint8Array.from([...spoken, 1])]), 'regen.mp3')
    form.set('language', 'de-DE')
    const { id } = (await (
      await fetch(`${url}/v1/audio/transcriptions?async=1`, { method: 'POST', body: form })
    ).json()) as { id: number }
    const sdk = createClient({ url })
    expect(await sdk.why(id)).toMatchObject({
      status: 'pending',
      missing: ['a node that hears de (there are: en)'],
    })
    await sdk.cancel(id)
    const error = await failureOf(
      client.audio.transcriptions.create({
        model: 'whisper-1',
        file: await recording(),
        language: 'de',
      }),
    )
    expect(error).toMatchObject({
      status: 400,
      param: 'language',
      message: expect.stringContaining('en'),
    })
  })

  test('hands in a recording with a form that goes wrong after it, and leaves nothing', async () => {
    const kept = async () =>
      (
        await readdir(path.join(database.home, 'media'), { recursive: true, withFileTypes: true })
      ).filter((entry) => entry.isFile()).length
    const before = await kept()
    const form = new FormData()
    form.set('file', new Blob([Uint8Array.from([...spoken, 0])]), 'rain.mp3')
    form.set('language', 'not a language')
    expect(
      (await fetch(`${url}/v1/audio/transcriptions?async=1`, { method: 'POST', body: form }))
        .status,
    ).toBe(400)
    form.set('prompt', 'x'.repeat(300 * 1024))
    const answer = await fetch(`${url}/v1/audio/transcriptions?async=1`, {
      method: 'POST',
      body: form,
    })
    expect(answer.status).toBe(413)
    expect(await kept()).toBe(before)
  })

  test('makes vectors, as numbers or packed', async () => {
    const texts = ['rain in the morning', 'money for the hospital']
    const packed = await client.embeddings.create({ model: 'text-embedding-3-small', input: texts })
    const plain = await client.embeddings.create({
      model: 'lexical-384',
      input: texts,
      encoding_format: 'float',
    })
    expect(packed.model).toBe('lexical-384')
    expect(packed.data.map(({ embedding }) => embedding.length)).toEqual([384, 384])
    for (const [i, { embedding }] of plain.data.entries()) {
      for (const [j, value] of embedding.entries())
        expect(packed.data[i]!.embedding[j]).toBeCloseTo(value, 5)
    }
  })

  test('may send null, or an empty field of a form, for what it leaves open', async () => {
    const { data } = await client.embeddings.create({
      model: 'lexical-384',
      input: 'rain',
      dimensions: null,
      encoding_format: null,
    } as never)
    expect(data).toHaveLength(1)
    const speech = await client.audio.speech.create({
      model: 'flite',
      voice: null,
      input: 'Rain.',
      speed: null,
      response_format: null,
    } as never)
    expect(speech.headers.get('content-type')).toBe('audio/mpeg')
    const form = new FormData()
    for (const name of ['language', 'prompt', 'temperature', 'response_format', 'stream'])
      form.set(name, '')
    form.set('file', await recording())
    form.set('model', 'whisper-1')
    expect(
      (await fetch(`${url}/v1/audio/transcriptions`, { method: 'POST', body: form })).status,
    ).toBe(200)
  })

  test('lists the models', async () => {
    const { data } = await client.models.list()
    expect(data.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['flite', 'lexical-384', 'pocketsphinx-en-us']),
    )
    expect(await client.models.retrieve('flite')).toMatchObject({ id: 'flite', owned_by: 'flite' })
    expect(await client.models.retrieve('whisper-1')).toMatchObject({
      id: 'whisper-1',
      kinds: ['transcribe'],
    })
    await expect(client.models.retrieve('gpt-4o'), 'nobody here chats').rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    })
  })

  test.each([
    [
      'an unknown model',
      () => client.embeddings.create({ model: 'word2vec', input: 'x' }),
      { status: 404, code: 'model_not_found', message: /lexical-384/ },
    ],
    [
      'a model of another kind',
      () => client.embeddings.create({ model: 'flite', input: 'x' }),
      { status: 404, code: 'model_not_found', message: /lexical-384/ },
    ],
    [
      'a mesh without a language model',
      () =>
        client.chat.completions.create({
          model: 'gpt-4o',
          messages: [{ role: 'user', content: 'Hello' }],
        }),
      { status: 503, code: 'EARSHOT_NO_NODE', message: /language model/ },
    ],
    [
      'tokens',
      () => client.embeddings.create({ model: 'lexical-384', input: [1, 2, 3] }),
      { status: 400, message: /tokens/ },
    ],
    [
      'other dimensions',
      () => client.embeddings.create({ model: 'lexical-384', input: 'x', dimensions: 12 }),
      { status: 400, param: 'dimensions', message: /384/ },
    ],
    [
      'an empty text',
      () => client.embeddings.create({ model: 'lexical-384', input: ['x', ''] }),
      { status: 400, param: 'input', message: /empty/ },
    ],
    [
      'what is no voice',
      () => client.audio.speech.create({ model: 'tts-1', voice: 'no body', input: 'Rain.' }),
      { status: 400, param: 'voice' },
    ],
    [
      'an unknown voice',
      () => client.audio.speech.create({ model: 'tts-1', voice: 'nobody', input: 'Rain.' }),
      { status: 400, message: /slt/ },
    ],
    [
      'an unknown format',
      () =>
        client.audio.speech.create({
          model: 'tts-1',
          voice: 'alloy',
          input: 'Rain.',
          response_format: 'ogg' as 'wav',
        }),
      { status: 400, param: 'response_format' },
    ],
    [
      'nothing to say',
      () => client.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: ' ' }),
      { status: 400, param: 'input' },
    ],
    [
      'what is no recording',
      async () =>
        client.audio.transcriptions.create({
          model: 'whisper-1',
          file: await toFile(Buffer.from('no sound'), 'rain.mp3'),
        }),
      { status: 422, code: 'EARSHOT_MEDIA_UNREADABLE' },
    ],
    [
      'an empty recording',
      async () =>
        client.audio.transcriptions.create({
          model: 'whisper-1',
          file: await toFile(Buffer.alloc(0), 'rain.mp3'),
        }),
      { status: 422, code: 'EARSHOT_MEDIA_EMPTY' },
    ],
    [
      'a recording that is too large',
      async () =>
        client.audio.transcriptions.create({
          model: 'whisper-1',
          file: await toFile(Buffer.alloc(2_000_000), 'rain.wav'),
        }),
      { status: 413 },
    ],
    [
      'a recording without a model',
      async () => client.audio.transcriptions.create({ file: await recording() } as never),
      { status: 400, param: 'model' },
    ],
    [
      'a body that is too large',
      () => client.embeddings.create({ model: 'lexical-384', input: 'x'.repeat(17 * 2 ** 20) }),
      { status: 413 },
    ],
    [
      'two answers at once',
      () =>
        client.chat.completions.create({
          model: 'gpt-4o',
          n: 2,
          messages: [{ role: 'user', content: 'Hello' }],
        }),
      { status: 400, param: 'n' },
    ],
  ])(
    'is told what is wrong with %s',
    async (
      _,
      ask,
      {
        message = /./,
        ...wanted
      }: { status: number; code?: string; param?: string; message?: RegExp },
    ) => {
      client.maxRetries = 0
      const error = await failureOf(ask())
      expect(error).toMatchObject(wanted)
      expect(error.message).toMatch(message)
      expect(error.message).not.toMatch(/\bat \/|node_modules/)
      await expect.poll(uploads).toEqual([])
    },
  )

  test.each([
    [
      'JSON where a form belongs',
      '/v1/audio/transcriptions',
      { 'content-type': 'application/json' },
      '{}',
      400,
    ],
    [
      'a form without a file',
      '/v1/audio/transcriptions',
      { 'content-type': 'multipart/form-data; boundary=x' },
      '--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n',
      400,
    ],
    [
      'a form with two files',
      '/v1/audio/transcriptions',
      { 'content-type': 'multipart/form-data; boundary=x' },
      `${'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'.repeat(2)}--x--\r\n`,
      400,
    ],
    [
      'a form that breaks off',
      '/v1/audio/transcriptions',
      { 'content-type': 'multipart/form-data; boundary=x' },
      '--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF',
      400,
    ],
    [
      'a form where JSON belongs',
      '/v1/chat/completions',
      { 'content-type': 'multipart/form-data; boundary=x' },
      '--x--',
      400,
    ],
    [
      'broken JSON',
      '/v1/chat/completions',
      { 'content-type': 'application/json' },
      '{"model":',
      400,
    ],
  ])('is told in its own protocol about %s', async (_, route, headers, body, status) => {
    const answer = await fetch(url + route, { method: 'POST', headers, body })
    expect(answer.status).toBe(status)
    expect(await answer.json()).toEqual({
      error: {
        message: expect.any(String),
        type: 'invalid_request_error',
        param: expect.toSatisfy((param) => param === null || typeof param === 'string'),
        code: expect.any(String),
      },
    })
    await expect.poll(uploads).toEqual([])
  })

  test('that goes away in the middle of an upload leaves nothing', async () => {
    const sdk = createClient({ url })
    const before = await sdk.jobs({ limit: 1 })
    const body =
      'POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: 100000\r\n\r\n--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(body))
    await once(socket, 'connect')
    const halves = async () =>
      (await readdir(path.join(database.home, 'uploads', 'media'))).filter((name) =>
        name.startsWith('.partial'),
      )
    await expect.poll(halves).toHaveLength(1)
    socket.destroy()
    await expect.poll(halves).toEqual([])
    expect(await sdk.jobs({ limit: 1 })).toEqual(before)
  })
})
