import path from 'node:path'
import OpenAI, { APIError } from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { json } from '../../packages/worker/test/helpers/engine-server.ts'
import { databases, type TestDatabase, testDatabase } from '../helpers/database.ts'
import { clientOf, type MeshProcess, startProcess } from '../helpers/mesh.ts'
import {
  crash,
  createFakeOpenAiServer,
  hang,
  type FakeOpenAiServer,
} from '../helpers/fake-openai-server.ts'

/**
 * OpenAI's own client, a coordinator and two workers as processes of their own, each worker with an
 * engine of its own.
 */
describe.runIf(databases.includes('postgres'))('a chat through the mesh', () => {
  const names = ['attic', 'cellar'] as const
  type Name = (typeof names)[number]
  let database: TestDatabase
  let desk: MeshProcess
  let client: OpenAI
  let base: Record<string, string>
  const talkers = {} as Record<Name, FakeOpenAiServer>
  const boxes = {} as Record<Name, MeshProcess>
  const usual = {} as Record<Name, FakeOpenAiServer['talk']>

  const start = async (name: Name) => {
    boxes[name] = await startProcess(
      'worker',
      {
        ...base,
        NODE_ID: name,
        EARSHOT_HOME: path.join(database.home, name),
        EARSHOT_OPENAI_URLS: talkers[name].url,
      },
      { flags: ['--roles', 'llm_light,rag_engine'] },
    )
  }
  beforeAll(async () => {
    database = await testDatabase('postgres')
    await database.db.pool.query(
      `update earshot.settings set lease = interval '6 seconds', routable = interval '4 seconds'`,
    )
    base = {
      EARSHOT_HOME: path.join(database.home, 'desk'),
      EARSHOT_INBOX: path.join(database.home, 'inbox'),
      EARSHOT_PORT: '0',
      DATABASE_URL: database.url!,
    }
    for (const name of names) {
      talkers[name] = await createFakeOpenAiServer(name, [
        'talker',
        'embedder-embed',
        `only-${name}`,
        `passing-${name}`,
      ])
      usual[name] = talkers[name].talk
    }
    desk = await startProcess('coordinator', { ...base, NODE_ID: 'desk' })
    await Promise.all(names.map(start))
    client = new OpenAI({
      baseURL: `${desk.announced.url}/v1`,
      apiKey: 'none',
      maxRetries: 0,
      timeout: 120_000,
    })
  }, 180_000)
  afterEach(() => {
    for (const name of names) {
      talkers[name].talk = usual[name]
      talkers[name].asked.length = 0
    }
  })
  afterAll(async () => {
    for (const one of [...Object.values(boxes), desk]) await one?.stop('SIGKILL')
    for (const one of Object.values(talkers)) await one[Symbol.asyncDispose]()
    await database?.[Symbol.asyncDispose]()
  })

  const ask = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'Who is there?' }] }
  const other = (name: Name): Name => (name === 'attic' ? 'cellar' : 'attic')
  /**
   * Which box is asked first, and the first thing that is done there; the other one does as usual.
   */
  const firstDoes = async (talk: FakeOpenAiServer['talk']): Promise<Name> => {
    const first = Promise.withResolvers<Name>()
    for (const name of names) {
      talkers[name].talk = async (asked, response, say) => {
        for (const one of names) talkers[one].talk = usual[one]
        first.resolve(name)
        await talk(asked, response, say)
      }
    }
    return first.promise
  }
  const chats = () => names.flatMap((name) => talkers[name].chats().map(() => name))
  const failureOf = async (asked: Promise<unknown>): Promise<InstanceType<typeof APIError>> => {
    const error = await asked.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (error instanceof APIError) return error
    throw new Error(`It did not fail as the client knows failures: ${String(error)}`)
  }
  const statusOf = async (job: string | null) =>
    (
      await database.db.pool.query<{ status: string }>(
        'select status from earshot.jobs where id = $1',
        [job],
      )
    ).rows[0]?.status
  const lastStatus = async () =>
    (
      await database.db.pool.query<{ status: string }>(
        `select status from earshot.jobs order by id desc limit 1`,
      )
    ).rows[0]?.status

  test('is answered whole, and it is told by which model, job and node', async () => {
    const { data, response } = await client.chat.completions.create(ask).withResponse()
    const node = response.headers.get('x-earshot-node')
    expect(data).toMatchObject({
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          finish_reason: 'stop',
          message: { role: 'assistant', content: `Hello from ${node}.` },
        },
      ],
      usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
    })
    expect(response.headers.get('x-earshot-model')).toBe(data.model)
    expect(await statusOf(response.headers.get('x-earshot-job'))).toBe('completed')
  })

  test('is answered word by word, as the engine says them', async () => {
    const goOn = Promise.withResolvers<void>()
    const first = firstDoes(async (_, __, { piece, end }) => {
      piece({ content: 'Wait' })
      await goOn.promise
      piece({ content: ' for it.' })
      piece({}, 'stop')
      end()
    })
    const { data, response } = await client.chat.completions
      .create({ ...ask, stream: true, stream_options: { include_usage: true } })
      .withResponse()
    const heard: OpenAI.ChatCompletionChunk[] = []
    for await (const chunk of data) {
      heard.push(chunk)
      // The engine goes on only once its first word was heard.
      goOn.resolve()
    }
    expect(heard.map(({ choices: [choice] }) => choice?.delta.content ?? '').join('')).toBe(
      'Wait for it.',
    )
    expect(heard.at(-2)!.choices[0]!.finish_reason).toBe('stop')
    expect(heard.at(-1)!.usage).toEqual({ prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 })
    expect(response.headers.get('x-earshot-node')).toBe(await first)
    expect(response.headers.get('x-earshot-model')).toBe(heard[0]!.model)
  })

  test('carries tools there and calls back, in a stream too', async () => {
    const call = {
      index: 0,
      id: 'call_1',
      type: 'function',
      function: { name: 'ring', arguments: '{"times":2}' },
    }
    const talk: FakeOpenAiServer['talk'] = async (_, __, { piece, end }) => {
      piece({ tool_calls: [{ ...call, function: { name: 'ring', arguments: '{"times"' } }] })
      piece({ tool_calls: [{ index: 0, function: { arguments: ':2}' } }] }, 'tool_calls')
      end()
    }
    const tools = [
      {
        type: 'function' as const,
        function: {
          name: 'ring',
          parameters: { type: 'object', properties: { times: { type: 'integer' } } },
        },
      },
    ]
    const first = firstDoes(talk)
    const whole = await client.chat.completions.create({ ...ask, tools })
    expect(whole.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        tool_calls: [{ id: 'call_1', function: { name: 'ring', arguments: '{"times":2}' } }],
      },
    })
    expect(talkers[await first].chats()[0]!.json().tools).toEqual(tools)
    void firstDoes(talk)
    const streamed = await client.chat.completions.stream({ ...ask, tools }).finalChatCompletion()
    expect(streamed.choices[0]!.message.tool_calls).toMatchObject([
      { id: 'call_1', function: { name: 'ring', arguments: '{"times":2}' } },
    ])
  })

  test('goes on with an answer that is sent back as clients write it down, with null for what was not in it', async () => {
    const back = {
      role: 'assistant',
      content: 'Me.',
      refusal: null,
      name: null,
      audio: null,
      function_call: null,
      tool_calls: null,
    } as unknown as OpenAI.ChatCompletionMessageParam
    await client.chat.completions.create({
      ...ask,
      messages: [...ask.messages, back, { role: 'user', content: 'And who else?' }],
    })
    const sent = names.flatMap((name) => talkers[name].chats())[0]!.json()
    expect(sent.messages).toEqual([
      ...ask.messages,
      { role: 'assistant', content: 'Me.' },
      { role: 'user', content: 'And who else?' },
    ])
  })

  test("asks for an answer by a schema, and with the client's wishes", async () => {
    const schema = {
      type: 'object',
      properties: { name: { type: 'string' } },
      required: ['name'],
      additionalProperties: false,
    }
    await client.chat.completions.create({
      ...ask,
      max_completion_tokens: 7,
      temperature: 0,
      stop: ['\n'],
      response_format: { type: 'json_schema', json_schema: { name: 'person', schema } },
    })
    const sent = names.flatMap((name) => talkers[name].chats())[0]!.json()
    expect(sent).toMatchObject({
      max_tokens: 7,
      temperature: 0,
      stop: ['\n'],
      response_format: { json_schema: { schema } },
    })
  })

  test('hands schemas on in their own order: models answer by it', async () => {
    const schema = {
      type: 'object',
      properties: { reasoning: { type: 'string' }, answer: { type: 'string' } },
      required: ['reasoning', 'answer'],
      additionalProperties: false,
    }
    const tools = [{ type: 'function' as const, function: { name: 'ring', parameters: schema } }]
    await client.chat.completions.create({
      ...ask,
      tools,
      response_format: { type: 'json_schema', json_schema: { name: 'thought', schema } },
    })
    const sent = names.flatMap((name) => talkers[name].chats())[0]!.json() as unknown as {
      tools: typeof tools
      response_format: { json_schema: { schema: object } }
    }
    expect(
      [sent.response_format.json_schema.schema, sent.tools[0]!.function.parameters].map((one) =>
        JSON.stringify(one),
      ),
    ).toEqual([JSON.stringify(schema), JSON.stringify(schema)])
  })

  test('takes texts that were cut in the middle of an emoji, and gives such ones back', async () => {
    const cut = '🦊'.slice(0, 1)
    for (const name of names) {
      talkers[name].talk = async (_, __, { piece, end }) => {
        piece({ content: `A fox: ${cut}` }, 'stop')
        end()
      }
    }
    const {
      choices: [choice],
    } = await client.chat.completions.create({
      ...ask,
      max_tokens: -1,
      messages: [{ role: 'user', content: `What is \0this: ${cut}` }],
    })
    expect(choice!.message.content).toBe('A fox: \ufffd')
    const [sent] = names.flatMap((name) => talkers[name].chats().map((asked) => asked.json()))
    expect(sent!.messages).toEqual([{ role: 'user', content: 'What is this: \ufffd' }])
    expect(sent).not.toHaveProperty('max_tokens')
  })

  test('makes vectors with a model that knows meaning', async () => {
    const { data, model } = await client.embeddings.create({
      model: 'text-embedding-3-small',
      input: ['rain', 'hail and rain'],
    })
    expect(model).toBe('embedder-embed')
    expect(data.map(({ embedding }) => embedding)).toEqual([
      [4, 0.5, -1],
      [13, 0.5, -1],
    ])
  })

  test('that is longer than the model can hold is refused, as OpenAI refuses it', async () => {
    void firstDoes(async (_, response) =>
      json(response, 400, {
        error: { message: "This model's maximum context length is 4096 tokens." },
      }),
    )
    const error = await failureOf(client.chat.completions.create(ask))
    expect(error).toMatchObject({ status: 400, code: 'context_length_exceeded', param: 'messages' })
    expect(error.message).toContain('4096')
    expect(chats()).toHaveLength(1)
    const embeds = names.map((name) => talkers[name].routes['POST /v1/embeddings']!)
    for (const name of names)
      talkers[name].routes['POST /v1/embeddings'] = (_, response) =>
        json(response, 400, { error: { message: 'the input length exceeds the context length' } })
    expect(
      await failureOf(client.embeddings.create({ model: 'embedder-embed', input: 'long' })),
    ).toMatchObject({ status: 400, code: 'context_length_exceeded', param: 'input' })
    names.forEach((name, i) => {
      talkers[name].routes['POST /v1/embeddings'] = embeds[i]!
    })
  })

  test('whose client goes away ends at the engine, before the first word and after', async () => {
    for (const word of [undefined, 'Well, ']) {
      const gone = new AbortController()
      const first = firstDoes(async (asked, _, { piece }) => {
        if (word !== undefined) piece({ content: word })
        await asked.gone
      })
      const reading = (async () => {
        for await (const _ of await client.chat.completions.create(
          { ...ask, stream: true },
          { signal: gone.signal },
        ))
          gone.abort()
      })().catch(() => {})
      const name = await first
      if (word === undefined) gone.abort()
      await talkers[name].chats().at(-1)!.gone
      await reading
      await expect.poll(lastStatus).toBe('cancelled')
    }
  })

  test('whose engine breaks off before the first word is answered elsewhere', async () => {
    const first = firstDoes(crash)
    const {
      choices: [choice],
    } = await client.chat.completions.create(ask)
    expect(choice!.message.content).toBe(`Hello from ${other(await first)}.`)
    expect(chats().toSorted()).toEqual(['attic', 'cellar'])
  })

  test('whose engine hangs is answered elsewhere', async () => {
    await database.db.pool.query(
      `update earshot.job_kinds set silence = interval '2 seconds' where kind = 'generate'`,
    )
    const first = firstDoes(hang)
    const heard = await client.chat.completions.stream(ask).finalContent()
    expect(heard).toBe(`Hello from ${other(await first)}.`)
    await database.db.pool.query(
      `update earshot.job_kinds set silence = interval '10 minutes' where kind = 'generate'`,
    )
  })

  test('whose engine fails after the first word ends with its reason, and is not begun again', async () => {
    const goOn = Promise.withResolvers<void>()
    const first = firstDoes(async (_, response, { piece }) => {
      piece({ content: 'Well, ' })
      // Before it is heard, a failure would only make another node answer.
      await goOn.promise
      response.end('data: {"error": {"message": "the graphics card fell asleep"}}\n\n')
    })
    const heard: string[] = []
    const error = await failureOf(
      (async () => {
        for await (const {
          choices: [choice],
        } of await client.chat.completions.create({ ...ask, stream: true })) {
          heard.push(choice!.delta.content ?? '')
          goOn.resolve()
        }
      })(),
    )
    expect(heard.join('')).toBe('Well, ')
    expect(error.message).toContain('the graphics card fell asleep')
    await expect.poll(lastStatus).toBe('failed')
    expect(chats()).toEqual([await first])
  })

  test('with a model that its only server lacks by now is refused at once, and the model is offered no more', async () => {
    const { routes } = talkers.cellar
    const [list, chat] = ['GET /v1/models', 'POST /v1/chat/completions'].map(
      (name) => routes[name]!,
    )
    routes['GET /v1/models'] = (_, response) =>
      json(response, 200, {
        object: 'list',
        data: ['talker', 'embedder-embed', 'only-cellar'].map((id) => ({ id, object: 'model' })),
      })
    routes['POST /v1/chat/completions'] = (_, response) =>
      json(response, 404, { error: { message: 'The model `passing-cellar` does not exist' } })
    const error = await failureOf(
      client.chat.completions.create({ ...ask, model: 'passing-cellar' }),
    )
    expect(error).toMatchObject({
      status: 503,
      code: 'EARSHOT_ENGINE_MISSING',
      message: expect.stringContaining('does not exist'),
    })
    // The next look of its own would be 30 s later.
    await expect
      .poll(async () => (await client.models.list()).data.map(({ id }) => id), {
        timeout: 20_000,
        interval: 200,
      })
      .not.toContain('passing-cellar')
    Object.assign(routes, { 'GET /v1/models': list, 'POST /v1/chat/completions': chat })
  })

  test('whose node is killed before the first word is answered elsewhere', async () => {
    const first = firstDoes(hang)
    const answer = client.chat.completions.stream(ask).finalContent()
    const name = await first
    await boxes[name].stop('SIGKILL')
    expect(await answer).toBe(`Hello from ${other(name)}.`)
    await start(name)
  })

  test('whose node is killed after the first word ends with an error, and is not begun again', async () => {
    const first = firstDoes(async (asked, _, { piece }) => {
      piece({ content: 'Well, ' })
      await asked.gone
    })
    const heard: string[] = []
    const error = await failureOf(
      (async () => {
        for await (const {
          choices: [choice],
        } of await client.chat.completions.create({ ...ask, stream: true })) {
          heard.push(choice!.delta.content ?? '')
          void boxes[await first].stop('SIGKILL')
        }
      })(),
    )
    const name = await first
    expect(heard.join('')).toBe('Well, ')
    expect(error).toMatchObject({
      code: 'EARSHOT_ANSWER_CUT',
      message: expect.stringContaining(name),
    })
    await expect.poll(lastStatus).toBe('failed')
    expect(chats()).toEqual([name])
    // Once its lease is over, no one who is up has what it alone had.
    await expect
      .poll(async () => (await clientOf(desk).node(name)).status, {
        timeout: 60_000,
        interval: 200,
      })
      .toBe('degraded')
    const away = await failureOf(client.chat.completions.create({ ...ask, model: `only-${name}` }))
    expect(away).toMatchObject({
      status: 503,
      code: 'EARSHOT_NO_NODE',
      message: expect.stringMatching(`only-${name}.*on ${name}, which is away`),
    })
    const unknown = await failureOf(
      client.chat.completions.create({ ...ask, model: 'nobody-has-it' }),
    )
    expect(unknown).toMatchObject({
      status: 404,
      code: 'model_not_found',
      message: expect.stringContaining('talker'),
    })
  })
})
