import { type GenerateDelta, type GenerateRequest } from '@earshot/contract'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createOllama, pullOllama } from '../src/engines/ollama.ts'
import { judge } from '../src/verdict.ts'
import {
  type EngineServer,
  engineServer,
  inPieces,
  json,
  thrownBy,
} from './helpers/engine-server.ts'

let server: EngineServer
beforeAll(async () => {
  server = await engineServer()
})
afterAll(() => server[Symbol.asyncDispose]())
afterEach(() => {
  server.routes = {}
  server.asked.length = 0
})

const NDJSON = { 'content-type': 'application/x-ndjson' }
const at = '2026-11-01T10:00:00.000000Z'
const piece = (message: object, more: object = {}) =>
  `${JSON.stringify({ model: 'small:1b', created_at: at, message: { role: 'assistant', content: '', ...message }, done: false, ...more })}\n`
const last = (more: object = {}) =>
  piece(
    {},
    {
      done: true,
      done_reason: 'stop',
      total_duration: 1,
      prompt_eval_count: 11,
      eval_count: 7,
      ...more,
    },
  )
const stream = (text: string, size = 1 << 20) => {
  server.routes['POST /api/chat'] = async (_, response) => {
    response.writeHead(200, NDJSON)
    await inPieces(response, text, size)
    response.end()
  }
}
async function chat(
  input: Partial<GenerateRequest> = {},
  options: { signal?: AbortSignal; onDelta?: (delta: GenerateDelta) => void } = {},
) {
  const deltas: GenerateDelta[] = []
  const onDelta = (delta: GenerateDelta) => {
    deltas.push(delta)
    options.onDelta?.(delta)
  }
  const [generator] = createOllama({ ollamaHost: server.url })
  const answer = await generator.generate(
    { model: 'small:1b', messages: [{ role: 'user', content: 'Hi' }], ...input },
    { signal: options.signal ?? new AbortController().signal, onDelta },
  )
  return { answer, deltas }
}

describe('Ollama, when things go wrong', () => {
  test.each<[string, number, string, { code: string; verdict?: string }]>([
    [
      'has not the model',
      404,
      'model "small:1b" not found, try pulling it first',
      { code: 'EARSHOT_ENGINE_MISSING', verdict: 'node' },
    ],
    [
      'has no memory for it',
      500,
      'model requires more system memory (9.4 GiB) than is available (3.1 GiB)',
      { code: 'EARSHOT_ENGINE_MISSING', verdict: 'node' },
    ],
    [
      'is asked more than the model can hold',
      400,
      'the input length exceeds the context length',
      { code: 'EARSHOT_CONTEXT_TOO_LONG', verdict: 'final' },
    ],
    [
      'is asked for what the model cannot do',
      400,
      'registry.ollama.ai/library/small:1b does not support tools',
      { code: 'EARSHOT_BAD_REQUEST', verdict: 'final' },
    ],
    [
      'broke',
      500,
      'llama runner process has terminated: exit status 2',
      { code: 'EARSHOT_ENGINE_FAILED', verdict: 'job' },
    ],
  ])(
    'a server that %s says so, and the guilty one is charged',
    async (_, status, error, expected) => {
      server.routes['POST /api/chat'] = (_asked, response) => json(response, status, { error })
      const thrown = await thrownBy(chat())
      expect(thrown).toMatchObject({ code: expected.code, message: expect.stringContaining(error) })
      expect(judge(thrown)).toMatchObject({ outcome: { error: { verdict: expected.verdict } } })
    },
  )

  test('a busy server charges nobody', async () => {
    server.routes['POST /api/chat'] = (_, response) =>
      json(response, 503, {
        error: 'server busy, please try again.  maximum pending requests exceeded',
      })
    expect(judge(await thrownBy(chat()))).toMatchObject({
      away: expect.stringContaining('server busy'),
    })
  })

  test("nobody there is the node's matter, and a report", async () => {
    const gone = await engineServer()
    await gone[Symbol.asyncDispose]()
    const [generator, embedder] = createOllama({ ollamaHost: gone.url })
    expect(
      await thrownBy(embedder.embed(['x'], { model: 'm', signal: new AbortController().signal })),
    ).toMatchObject({
      code: 'EARSHOT_ENGINE_MISSING',
      message: expect.stringContaining('ECONNREFUSED'),
    })
    expect(await generator.probe()).toMatchObject({
      available: false,
      missing: 'ollama',
      reason: expect.stringContaining('does not answer'),
    })
  })

  test('something else on its port is a report too', async () => {
    server.routes['GET /api/version'] = (_, response) =>
      void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')
    expect(await createOllama({ ollamaHost: server.url })[0].probe()).toMatchObject({
      available: false,
      reason: expect.stringContaining('no Ollama'),
    })
  })

  test.each([
    ['in the middle of a line', piece({ content: 'Hel' }) + piece({ content: 'lo' }).slice(0, 40)],
    ['between two lines', piece({ content: 'Hel' })],
    [
      'with an error',
      `${piece({ content: 'Hel' })}${JSON.stringify({ error: 'an error was encountered while running the model: CUDA error' })}\n`,
    ],
    ['with nonsense', `${piece({ content: 'Hel' })}<html>502</html>\n${last()}`],
  ])('an answer that ends %s has failed, after what came before was passed on', async (_, text) => {
    stream(text)
    const deltas: GenerateDelta[] = []
    expect(await thrownBy(chat({}, { onDelta: (delta) => deltas.push(delta) }))).toMatchObject({
      code: 'EARSHOT_ENGINE_FAILED',
    })
    expect(deltas).toEqual([{ content: 'Hel' }])
  })

  test('a connection that dies on the way has failed', async () => {
    server.routes['POST /api/chat'] = (_, response) => {
      response.writeHead(200, NDJSON).write(piece({ content: 'Hel' }))
      setImmediate(() => response.destroy())
    }
    expect(await thrownBy(chat())).toMatchObject({
      code: 'EARSHOT_ENGINE_FAILED',
      message: expect.stringContaining('broke off'),
    })
  })

  test.each(['before the first token', 'in the middle of an answer'])(
    'an abort %s closes the connection, so that the model stops',
    async (when) => {
      const began = Promise.withResolvers<void>()
      server.routes['POST /api/chat'] = (_, response) => {
        if (when.startsWith('in')) response.writeHead(200, NDJSON).write(piece({ content: 'Hel' }))
        else began.resolve()
      }
      const abort = new AbortController()
      const reason = new Error('cancelled')
      const work = chat({}, { signal: abort.signal, onDelta: () => began.resolve() })
      work.catch(() => {})
      await began.promise
      abort.abort(reason)
      await expect(work).rejects.toBe(reason)
      await server.asked[0]!.gone
    },
  )

  test.each<[string, Partial<GenerateRequest>, string]>([
    ['a tool that must be called', { tool_choice: 'required' }, 'tool_choice'],
    [
      'a picture by address',
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'image_url', image_url: { url: 'https://example.com/a.png' } }],
          },
        ],
      },
      'messages',
    ],
    [
      'a tool call without arguments that can be read',
      {
        messages: [
          {
            role: 'assistant',
            tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{' } }],
          },
        ],
      },
      'messages',
    ],
  ])('%s is refused before anybody is asked', async (_, input, field) => {
    expect(await thrownBy(chat(input))).toMatchObject({ code: 'EARSHOT_BAD_REQUEST', field })
    expect(server.asked).toEqual([])
  })
})

describe('Ollama', () => {
  test.each([1, 3, 1 << 20])(
    'an answer in pieces of %d bytes arrives as it was said',
    async (size) => {
      stream(piece({ content: 'Grü' }) + piece({ content: 'ße 🎧\n' }) + last(), size)
      const { answer, deltas } = await chat()
      expect(deltas).toEqual([{ content: 'Grü' }, { content: 'ße 🎧\n' }])
      expect(answer).toEqual({
        model: 'small:1b',
        message: { role: 'assistant', content: 'Grüße 🎧\n' },
        finish_reason: 'stop',
        usage: { prompt_tokens: 11, completion_tokens: 7 },
      })
    },
  )

  test('an answer that was cut at its most tokens says so', async () => {
    stream(piece({ content: 'Hel' }) + last({ done_reason: 'length' }))
    expect((await chat({ options: { max_tokens: 1 } })).answer.finish_reason).toBe('length')
  })

  test('all that was asked is passed on in its words', async () => {
    stream(last())
    const schema = { type: 'object', properties: { a: { type: 'number' } } }
    const tool = { type: 'function' as const, function: { name: 'weather', parameters: schema } }
    await chat({
      messages: [
        { role: 'developer', content: 'Be brief.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
          ],
        },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"a":1}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'call_1', content: 'rain' },
      ],
      tools: [tool],
      format: schema,
      keep_alive: '10m',
      options: { temperature: 0, max_tokens: 5, stop: 'x', seed: 3 },
    })
    expect(server.asked[0]!.json()).toEqual({
      model: 'small:1b',
      stream: true,
      truncate: false,
      shift: false,
      tools: [tool],
      format: schema,
      keep_alive: '10m',
      options: { temperature: 0, num_predict: 5, stop: ['x'], seed: 3 },
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'What is this?', images: ['AAAA'] },
        {
          role: 'assistant',
          content: '',
          tool_calls: [{ function: { name: 'weather', arguments: { a: 1 } } }],
        },
        { role: 'tool', content: 'rain', tool_name: 'weather' },
      ],
    })
  })

  test('a call of a tool comes whole, with an id by which its answer can be given', async () => {
    stream(
      piece({ tool_calls: [{ function: { name: 'weather', arguments: { city: 'Oslo' } } }] }) +
        last(),
    )
    const { answer, deltas } = await chat()
    const call = {
      id: expect.stringMatching(/^call_\w{24}$/),
      type: 'function',
      function: { name: 'weather', arguments: '{"city":"Oslo"}' },
    }
    expect(answer).toMatchObject({
      message: { content: '', tool_calls: [call] },
      finish_reason: 'tool_calls',
    })
    expect(deltas).toEqual([{ tool_calls: answer.message.tool_calls }])
  })

  test('its models are listed by what they can do, the loaded one first', async () => {
    const shown: Record<string, object> = {
      'big:8b': {
        capabilities: ['completion', 'tools'],
        model_info: { 'llama.embedding_length': 4096 },
      },
      'small:1b': { capabilities: ['completion'], model_info: {} },
      'words:latest': {
        capabilities: ['embedding'],
        model_info: { 'nomic-bert.embedding_length': 768 },
      },
      'old-bert:latest': {
        details: { family: 'bert' },
        model_info: { 'bert.embedding_length': 384 },
      },
    }
    const sizes: Record<string, number> = {
      'big:8b': 5e9,
      'small:1b': 1e9,
      'words:latest': 3e8,
      'old-bert:latest': 1e8,
      'gone:1b': 1,
    }
    server.routes = {
      'GET /api/version': (_, response) => json(response, 200, { version: '0.40.1' }),
      'GET /api/tags': (_, response) =>
        json(response, 200, {
          models: Object.entries(sizes).map(([name, size]) => ({
            name,
            model: name,
            size,
            details: {},
          })),
        }),
      'GET /api/ps': (_, response) =>
        json(response, 200, {
          models: [{ name: 'big:8b', model: 'big:8b', size: 6e9, size_vram: 0 }],
        }),
      'POST /api/show': (asked, response) => {
        const found = shown[String(asked.json().model)]
        json(response, found === undefined ? 404 : 200, found ?? { error: 'model not found' })
      },
    }
    const [generator, embedder] = createOllama({ ollamaHost: server.url })
    expect(await generator.probe()).toEqual({ available: true, version: '0.40.1' })
    expect(await generator.models()).toEqual([
      { name: 'big:8b', size_bytes: 5e9, loaded: true },
      { name: 'small:1b', size_bytes: 1e9, loaded: false },
    ])
    expect(await embedder.models()).toEqual([
      {
        name: 'old-bert:latest',
        aliases: ['old-bert'],
        size_bytes: 1e8,
        loaded: false,
        dimensions: 384,
      },
      { name: 'words:latest', aliases: ['words'], size_bytes: 3e8, loaded: false, dimensions: 768 },
    ])
  })

  test('loads a model down, and tells how far it is over all its parts', async () => {
    const says = (...lines: object[]) => {
      server.routes['POST /api/pull'] = (_, response) =>
        void response
          .writeHead(200, NDJSON)
          .end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    }
    says(
      { status: 'pulling manifest' },
      { status: 'pulling a', digest: 'a', total: 100, completed: 50 },
      { status: 'pulling b', digest: 'b', total: 300, completed: 300 },
      { status: 'success' },
    )
    const fractions: number[] = []
    await pullOllama(server.url, 'small:1b', {
      signal: new AbortController().signal,
      onProgress: (fraction) => fractions.push(fraction),
    })
    expect(fractions).toEqual([0.5, 0.875])
    says({ status: 'pulling manifest' }, { error: 'pull model manifest: file does not exist' })
    expect(
      await thrownBy(pullOllama(server.url, 'nonsense', { signal: new AbortController().signal })),
    ).toMatchObject({ code: 'EARSHOT_ENGINE_MISSING' })
  })

  test('embeds texts at once, and refuses one that is too long rather than cut it', async () => {
    server.routes['POST /api/embed'] = (_, response) =>
      json(response, 200, {
        model: 'words',
        embeddings: [
          [1, 0],
          [0, 1],
        ],
      })
    const [, embedder] = createOllama({ ollamaHost: server.url })
    expect(
      await embedder.embed(['a', 'b'], { model: 'words', signal: new AbortController().signal }),
    ).toEqual([
      [1, 0],
      [0, 1],
    ])
    expect(server.asked[0]!.json()).toMatchObject({
      model: 'words',
      input: ['a', 'b'],
      truncate: false,
    })
  })
})
