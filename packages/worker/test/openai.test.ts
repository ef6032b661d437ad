import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { KINDS, type GenerateDelta, type GenerateRequest } from '@earshot/contract'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { wavHeader } from '../src/audio/wav.ts'
import type { Embedder, EngineKind, EngineOf } from '../src/engines/engine.ts'
import { createOpenAi } from '../src/engines/openai.ts'
import { judge } from '../src/verdict.ts'
import {
  type EngineServer,
  engineServer,
  inPieces,
  json,
  thrownBy,
} from './helpers/engine-server.ts'

let server: EngineServer
let dir: string
let wav: string
const { signal } = new AbortController()
beforeAll(async () => {
  server = await engineServer()
  dir = await mkdtemp(path.join(os.tmpdir(), 'earshot-openai-'))
  wav = path.join(dir, 'audio.wav')
  await writeFile(wav, Buffer.concat([wavHeader(32_000), Buffer.alloc(32_000)]))
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await rm(dir, { recursive: true })
})
afterEach(() => {
  server.routes = {}
  server.asked.length = 0
})

const engine = <K extends EngineKind>(kind: K, address = server.url) =>
  createOpenAi({ openaiUrls: [address], openaiKey: 'secret-key' }).find(
    (one) => one.kind === kind,
  ) as EngineOf<K>
const data = (value: object | string) =>
  `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`
const chunk = (delta: object, finish_reason: string | null = null) =>
  data({
    id: 'c',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm',
    choices: [{ index: 0, delta, finish_reason }],
  })
const usage = data({
  id: 'c',
  object: 'chat.completion.chunk',
  choices: [],
  usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
})
const stream = (text: string, size = 1 << 20) => {
  server.routes['POST /v1/chat/completions'] = async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    await inPieces(response, text, size)
    response.end()
  }
}
const refuse = (status: number, message: string) => {
  server.routes['POST /v1/chat/completions'] = (_, response) =>
    json(response, status, { error: { message, type: 'invalid_request_error', code: null } })
}
async function chat(
  input: Partial<GenerateRequest> = {},
  given: { signal?: AbortSignal; onDelta?: (delta: GenerateDelta) => void } = {},
) {
  const deltas: GenerateDelta[] = []
  const onDelta = (delta: GenerateDelta) => {
    deltas.push(delta)
    given.onDelta?.(delta)
  }
  const answer = await engine('generate').generate(
    { model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...input },
    { signal: given.signal ?? signal, onDelta },
  )
  return { answer, deltas }
}

describe("a conversation with a server that speaks OpenAI's protocol, when things go wrong", () => {
  test.each([
    ['knows no such model', 404, 'The model `m` does not exist', 'node'],
    ['does not take the key', 401, 'Incorrect API key provided', 'node'],
    [
      'is asked more than the model can hold',
      400,
      "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens",
      'final',
    ],
    ['is asked for nonsense', 400, 'temperature must be a number', 'final'],
    ['broke', 500, 'segmentation fault', 'job'],
  ])(
    'a server that %s: the guilty one is charged, and the key is not told',
    async (_, status, message, verdict) => {
      refuse(status, message)
      const thrown = await thrownBy(chat())
      expect(judge(thrown)).toMatchObject({
        outcome: { error: { verdict, message: expect.stringContaining(message) } },
      })
      expect(JSON.stringify(thrown)).not.toContain('secret-key')
    },
  )

  test('a context that is too long is told as what it is', async () => {
    refuse(
      400,
      'the request exceeds the available context size. try increasing the context size or enable context shift',
    )
    expect(await thrownBy(chat())).toMatchObject({
      code: 'EARSHOT_CONTEXT_TOO_LONG',
      field: 'messages',
    })
  })

  test('a server that has too much to do charges nobody', async () => {
    refuse(429, 'Too many requests')
    expect(judge(await thrownBy(chat()))).toHaveProperty('away')
  })

  test.each([
    ['before its last piece', chunk({ content: 'Hel' })],
    ['in the middle of a line', `${chunk({ content: 'Hel' })}data: {"choices":[{"del`],
    [
      'with an error',
      chunk({ content: 'Hel' }) +
        data({ error: { message: 'out of blocks', type: 'server_error' } }),
    ],
    ['with nonsense', chunk({ content: 'Hel' }) + data({ choices: 'none' })],
  ])('an answer that ends %s has failed, after what came before was passed on', async (_, text) => {
    stream(text)
    const deltas: GenerateDelta[] = []
    expect(await thrownBy(chat({}, { onDelta: (delta) => deltas.push(delta) }))).toMatchObject({
      code: 'EARSHOT_ENGINE_FAILED',
    })
    expect(deltas).toEqual([{ content: 'Hel' }])
  })

  test('an abort in the middle of an answer closes the connection', async () => {
    server.routes['POST /v1/chat/completions'] = (_, response) =>
      void response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .write(chunk({ content: 'Hel' }))
    const abort = new AbortController()
    const reason = new Error('cancelled')
    await expect(
      chat({}, { signal: abort.signal, onDelta: () => abort.abort(reason) }),
    ).rejects.toBe(reason)
    await server.asked[0]!.gone
  })
})

describe("a conversation with a server that speaks OpenAI's protocol", () => {
  test.each([1, 7, 1 << 20])(
    'an answer in pieces of %d bytes arrives as it was said',
    async (size) => {
      stream(
        `: keep-alive\r\n\r\n${chunk({ role: 'assistant', content: '' })}${chunk({ content: 'Grü' })}${chunk({ content: 'ße\u2028🎧' })}${chunk({}, 'stop')}${usage}${data('[DONE]')}`,
        size,
      )
      const { answer, deltas } = await chat()
      expect(deltas).toEqual([{ content: 'Grü' }, { content: 'ße\u2028🎧' }])
      expect(answer).toEqual({
        model: 'm',
        message: { role: 'assistant', content: 'Grüße\u2028🎧' },
        finish_reason: 'stop',
        usage: { prompt_tokens: 5, completion_tokens: 2 },
      })
    },
  )

  test('calls of tools that come in pieces are passed on whole', async () => {
    const call = (index: number, more: object) => chunk({ tool_calls: [{ index, ...more }] })
    stream(
      call(0, { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '' } }) +
        call(0, { function: { arguments: '{"city":' } }) +
        call(0, { function: { arguments: '"Oslo"}' } }) +
        call(1, { id: 'call_b', type: 'function', function: { name: 'time', arguments: '{}' } }) +
        chunk({}, 'tool_calls') +
        data('[DONE]'),
    )
    const { answer, deltas } = await chat()
    const calls = [
      {
        id: 'call_a',
        type: 'function',
        function: { name: 'weather', arguments: '{"city":"Oslo"}' },
      },
      { id: 'call_b', type: 'function', function: { name: 'time', arguments: '{}' } },
    ]
    expect(deltas).toEqual([{ tool_calls: calls }])
    expect(answer).toMatchObject({ finish_reason: 'tool_calls', message: { tool_calls: calls } })
  })

  test.each<[string, object[]]>([
    [
      'have no numbers',
      [
        { id: 'a', name: 'weather', arguments: '{"city":' },
        { arguments: '"Oslo"}' },
        { id: 'b', name: 'time', arguments: '{}' },
      ],
    ],
    [
      'have neither numbers nor ids',
      [
        { name: 'weather', arguments: '{"city":"Oslo"}' },
        { name: 'time', arguments: '{}' },
      ],
    ],
    [
      'all have the same number',
      [
        { index: 0, id: 'a', name: 'weather', arguments: '{"city":"Oslo"}' },
        { index: 0, id: 'b', name: 'time', arguments: '{}' },
      ],
    ],
    [
      'begin at one',
      [
        { index: 1, id: 'a', name: 'weather', arguments: '{"city":"Oslo"}' },
        { index: 2, id: 'b', name: 'time', arguments: {} },
      ],
    ],
  ])('calls of tools that %s are told apart all the same', async (_, pieces) => {
    const call = ({ index, id, ...more }: { index?: number; id?: string }) =>
      chunk({
        tool_calls: [
          {
            ...(index === undefined ? {} : { index }),
            ...(id === undefined ? {} : { id }),
            function: more,
          },
        ],
      })
    stream(pieces.map(call).join('') + chunk({}, 'tool_calls') + data('[DONE]'))
    const { answer } = await chat()
    expect(answer.message.tool_calls?.map(({ function: called }) => called)).toEqual([
      { name: 'weather', arguments: '{"city":"Oslo"}' },
      { name: 'time', arguments: '{}' },
    ])
    expect(new Set(answer.message.tool_calls?.map(({ id }) => id)).size).toBe(2)
  })

  test('a server that does not stream, or counts nothing, is understood too, and one that would not say it', async () => {
    server.routes['POST /v1/chat/completions'] = (_, response) =>
      json(response, 200, {
        object: 'chat.completion',
        choices: [
          {
            index: 0,
            message: { role: 'assistant', content: 'Hello' },
            finish_reason: 'content_filter',
          },
        ],
        usage: { prompt_tokens: 5, completion_tokens: null },
      })
    const { answer, deltas } = await chat()
    expect(deltas).toEqual([{ content: 'Hello' }])
    expect(answer).toEqual({
      model: 'm',
      message: { role: 'assistant', content: 'Hello' },
      finish_reason: 'content_filter',
      usage: { prompt_tokens: 5, completion_tokens: 0 },
    })
    server.routes['POST /v1/chat/completions'] = (_, response) =>
      void response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices": 7}')
    expect(await thrownBy(chat())).toMatchObject({ code: 'EARSHOT_ENGINE_FAILED' })
  })

  test('all that was asked is passed on, with the key', async () => {
    stream(chunk({}, 'stop') + data('[DONE]'))
    const schema = { type: 'object' }
    const tool = { type: 'function' as const, function: { name: 'f', parameters: schema } }
    await chat({
      tools: [tool],
      tool_choice: 'required',
      format: schema,
      options: { temperature: 0.5, max_tokens: 9 },
      keep_alive: '5m',
    })
    expect(server.asked[0]!.headers).toMatchObject({
      authorization: 'Bearer secret-key',
      connection: 'close',
    })
    expect(server.asked[0]!.json()).toEqual({
      model: 'm',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0.5,
      max_tokens: 9,
      tools: [tool],
      tool_choice: 'required',
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema } },
    })
  })
})

describe('what a server has', () => {
  const list = (data: object[]) => {
    server.routes['GET /v1/models'] = (_, response) => json(response, 200, { object: 'list', data })
  }
  const names = async (kind: EngineKind, address?: string) =>
    (await engine(kind, address).models()).map(({ name }) => name)

  test('is told apart by task, by name, and by what the settings say', async () => {
    list([
      { id: 'faster-whisper-small' },
      { id: 'kokoro', task: 'text-to-speech' },
      { id: 'bge-m3', meta: { n_embd: 1024, size: 1e9 } },
      { id: 'qwen2.5-7b' },
      { id: 'ears' },
    ])
    const address = `${server.url}/v1/#transcribe=ears&speak=mouth`
    expect(await names('transcribe', address)).toEqual(['ears', 'faster-whisper-small'])
    expect(await names('speak', address)).toEqual(['mouth', 'kokoro'])
    expect(await names('generate', address)).toEqual(['qwen2.5-7b'])
    expect(await engine('embed', address).models()).toEqual([
      { name: 'bge-m3', size_bytes: 1e9, dimensions: 1024 },
    ])
  })

  test('a model that hears is offered with the languages that the server tells, or that its name does', async () => {
    list([
      { id: 'whisper-small' },
      { id: 'whisper-tiny.en' },
      { id: 'whisper-tuned', language: ['de', 'German', 'fr'] },
    ])
    expect(await engine('transcribe').models()).toEqual([
      { name: 'whisper-small', size_bytes: null },
      { name: 'whisper-tiny.en', size_bytes: null, languages: ['en'], translates: false },
      { name: 'whisper-tuned', size_bytes: null, languages: ['de', 'fr'] },
    ])
  })

  test('is offered under any name that a job can ask by, be it the path of a file', async () => {
    list([
      { id: '/models/My Model=q4.gguf' },
      { id: 'two\nlines' },
      { id: ' ' },
      { id: 'x'.repeat(201) },
    ])
    expect(await names('generate')).toEqual(['/models/My Model=q4.gguf'])
    expect(
      KINDS.generate.payload.safeParse({
        model: '/models/My Model=q4.gguf',
        messages: [{ role: 'user', content: 'Hi' }],
      }).success,
    ).toBe(true)
  })

  test('a server without a list is believed for what the settings say, and for nothing else', async () => {
    const address = `${server.url}/v1#transcribe=whisper-1`
    expect(await names('transcribe', address)).toEqual(['whisper-1'])
    expect(await engine('transcribe', address).probe()).toEqual({ available: true })
    expect(await engine('generate', address).probe()).toMatchObject({ available: false })
  })

  test('one that goes away is no longer offered, whatever the settings say of it', async () => {
    const gone = await engineServer()
    const address = `${gone.url}/v1#transcribe=whisper-1`
    expect(await names('transcribe', address)).toEqual(['whisper-1'])
    await gone[Symbol.asyncDispose]()
    expect(await thrownBy(names('transcribe', address))).toMatchObject({
      code: 'EARSHOT_ENGINE_MISSING',
    })
  })

  test('one that is away is a report', async () => {
    const gone = await engineServer()
    await gone[Symbol.asyncDispose]()
    expect(await engine('generate', gone.url).probe()).toMatchObject({
      available: false,
      reason: expect.stringContaining('ECONNREFUSED'),
    })
  })

  test('how much a model can hold is told where the server tells it', async () => {
    list([
      { id: 'a', max_model_len: 4096 },
      { id: 'b', meta: { n_ctx_train: 131_072, n_ctx: 8192 } },
      { id: 'c', meta: { n_ctx_train: 2048 } },
      { id: 'd' },
    ])
    expect((await engine('generate').models()).map(({ context }) => context)).toEqual([
      4096,
      8192,
      2048,
      undefined,
    ])
  })

  test('vectors come in the order of the texts, with how many tokens those had', async () => {
    server.routes['POST /v1/embeddings'] = (_, response) =>
      json(response, 200, {
        usage: { prompt_tokens: 9, total_tokens: 9 },
        data: [
          { index: 1, embedding: [0, 1] },
          { index: 0, embedding: [1, 0] },
        ],
      })
    let tokens = 0
    expect(
      await (engine('embed') as Embedder).embed(['a', 'b'], {
        model: 'm',
        signal,
        onTokens: (count) => {
          tokens = count
        },
      }),
    ).toEqual([
      [1, 0],
      [0, 1],
    ])
    expect(tokens).toBe(9)
  })
})

describe("speech with a server that speaks OpenAI's protocol", () => {
  const hear = (more: object = {}) =>
    engine('transcribe').transcribe({ wav, duration_s: 1, model: 'whisper-1', signal, ...more })

  test('words, segments and language come as the server has them, none beyond the recording', async () => {
    server.routes['POST /v1/audio/transcriptions'] = (_, response) =>
      json(response, 200, {
        task: 'transcribe',
        language: 'english',
        duration: 1,
        text: 'Hello there.',
        segments: [{ id: 0, start: 0, end: 1.5, text: ' Hello there.', avg_logprob: -0.1 }],
        words: [
          { word: 'Hello', start: 0, end: 0.4 },
          { word: 'there.', start: 0.5, end: 1.4 },
        ],
      })
    expect(await hear({ language: 'en', prompt: 'Names' })).toEqual({
      words: [],
      language: 'en',
      segments: [
        {
          start_s: 0,
          end_s: 1,
          text: 'Hello there.',
          confidence: Math.exp(-0.1),
          words: [
            { text: 'Hello', start_s: 0, end_s: 0.4 },
            { text: 'there.', start_s: 0.5, end_s: 1 },
          ],
        },
      ],
    })
    const form = await new Response(new Uint8Array(server.asked[0]!.body), {
      headers: { 'content-type': server.asked[0]!.headers['content-type']! },
    }).formData()
    expect([...form].filter(([name]) => name !== 'file')).toEqual([
      ['model', 'whisper-1'],
      ['response_format', 'verbose_json'],
      ['language', 'en'],
      ['prompt', 'Names'],
      ['timestamp_granularities[]', 'segment'],
      ['timestamp_granularities[]', 'word'],
    ])
    expect((form.get('file') as File).size).toBe(32_044)
  })

  test('a model that gives its text alone is asked for that', async () => {
    let asked = 0
    server.routes['POST /v1/audio/transcriptions'] = (_, response) => {
      asked += 1
      if (asked === 1)
        json(response, 400, {
          error: {
            message: "response_format 'verbose_json' is not compatible with model",
            param: 'response_format',
          },
        })
      else json(response, 200, { text: 'Hello there.' })
    }
    expect(await hear()).toEqual({
      words: [],
      segments: [{ start_s: 0, end_s: 1, text: 'Hello there.', confidence: null, words: [] }],
    })
  })

  test('is not translated by a server that only hears: what was asked is wrong, and not the node', async () => {
    expect(await thrownBy(hear({ translate: true }))).toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      message: expect.stringContaining('does not translate'),
    })
  })

  test('is translated where that is asked', async () => {
    server.routes['POST /v1/audio/translations'] = (_, response) =>
      json(response, 200, { text: '' })
    expect(await hear({ translate: true })).toEqual({ words: [], segments: [] })
  })

  test('is spoken into a file of one channel, whatever the server sends', async () => {
    const stereo = await readFile(wav)
    stereo.writeUInt16LE(2, 22)
    stereo.writeUInt32LE(64_000, 28)
    stereo.writeUInt16LE(4, 32)
    server.routes['POST /v1/audio/speech'] = (_, response) =>
      void response.writeHead(200, { 'content-type': 'audio/wav' }).end(stereo)
    const out = path.join(dir, 'speech.wav')
    expect(await engine('speak').speak({ text: 'Hello', model: 'tts-1', out, signal })).toEqual({
      duration_s: 0.5,
    })
    expect((await readFile(out)).readUInt16LE(22)).toBe(1)
    expect(server.asked[0]!.json()).toEqual({
      model: 'tts-1',
      input: 'Hello',
      voice: 'alloy',
      response_format: 'wav',
    })
  })

  test.each([
    ['no sound', (body: Buffer) => body.subarray(0, 0)],
    ['a page', () => Buffer.from('<html>')],
  ])('a server that gives %s has failed', async (_, body) => {
    server.routes['POST /v1/audio/speech'] = (_asked, response) =>
      void response.writeHead(200).end(body(Buffer.alloc(1)))
    expect(
      await thrownBy(
        engine('speak').speak({ text: 'Hello', model: 'm', out: path.join(dir, 'no.wav'), signal }),
      ),
    ).toMatchObject({ code: 'EARSHOT_ENGINE_FAILED' })
  })
})
