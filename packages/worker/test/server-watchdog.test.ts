import type { GenerateDelta } from '@earshot/contract'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Patience } from '../src/engines/server-watchdog.ts'
import { createOllama } from '../src/engines/ollama.ts'
import { createOpenAi } from '../src/engines/openai.ts'
import { judge } from '../src/verdict.ts'
import { type EngineServer, engineServer, json, thrownBy } from './helpers/engine-server.ts'

let server: EngineServer
beforeAll(async () => {
  server = await engineServer()
})
afterAll(() => server[Symbol.asyncDispose]())
afterEach(() => {
  server.routes = {}
  server.asked.length = 0
})

const KINDS = {
  Ollama: {
    chat: 'POST /api/chat',
    other: 'GET /api/version',
    type: 'application/x-ndjson',
    piece: `${JSON.stringify({ model: 'm', message: { role: 'assistant', content: 'Hel' }, done: false })}\n`,
    end: `${JSON.stringify({ model: 'm', message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop' })}\n`,
    create: (patience: Partial<Patience>) => createOllama({ ollamaHost: server.url, patience })[0],
  },
  "a server with OpenAI's protocol": {
    chat: 'POST /v1/chat/completions',
    other: 'GET /v1/models',
    type: 'text/event-stream',
    piece: `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'Hel' } }] })}\n\n`,
    end: 'data: [DONE]\n\n',
    create: (patience: Partial<Patience>) =>
      createOpenAi({ openaiUrls: [server.url], patience }).find(
        (engine) => engine.kind === 'generate',
      )!,
  },
}
const hang = () => {}

describe.each(Object.entries(KINDS))('%s', (_, { chat, other, type, piece, end, create }) => {
  const ask = (
    engine: ReturnType<typeof create>,
    more: { onDelta?: (delta: GenerateDelta) => void; onAlive?: () => void } = {},
  ) =>
    engine.generate(
      { model: 'm', messages: [{ role: 'user', content: 'Hi' }] },
      { onDelta: () => {}, ...more, signal: new AbortController().signal },
    )

  test('that answers nothing at all hangs: the node is charged, nobody waits for it again, and when it is back it is asked', async () => {
    server.routes = { [chat]: hang, [other]: hang }
    const engine = create({ askS: 0.2, answerS: 1 })
    const thrown = await thrownBy(ask(engine))
    expect(thrown).toMatchObject({
      code: 'EARSHOT_ENGINE_MISSING',
      message: expect.stringContaining('hangs'),
    })
    expect(judge(thrown)).toMatchObject({ outcome: { error: { verdict: 'node' } } })
    await server.asked[0]!.gone
    expect(await thrownBy(ask(engine))).toMatchObject({ code: 'EARSHOT_ENGINE_MISSING' })
    expect(server.asked.filter(({ method }) => method === 'POST')).toHaveLength(1)
    server.routes = {
      [other]: (_asked, response) => json(response, 200, {}),
      [chat]: (_asked, response) =>
        void response.writeHead(200, { 'content-type': type }).end(piece + end),
    }
    expect(await ask(engine)).toMatchObject({ message: { content: 'Hel' } })
  })

  test('that stops in the middle of its answer, and answers nothing else, hangs', async () => {
    server.routes = {
      [chat]: (_asked, response) =>
        void response.writeHead(200, { 'content-type': type }).write(piece),
      [other]: hang,
    }
    const heard: GenerateDelta[] = []
    expect(
      await thrownBy(
        ask(create({ askS: 0.2, answerS: 1 }), { onDelta: (delta) => heard.push(delta) }),
      ),
    ).toMatchObject({ code: 'EARSHOT_ENGINE_MISSING' })
    expect(heard).toEqual([{ content: 'Hel' }])
  })

  test('that answers other questions is busy, be it with a refusal, and is waited for', async () => {
    let alive = 0
    const thrice = Promise.withResolvers<void>()
    server.routes = {
      [other]: (_asked, response) => json(response, 401, {}),
      [chat]: async (_asked, response) => {
        await thrice.promise
        response.writeHead(200, { 'content-type': type }).end(piece + end)
      },
    }
    const answer = await ask(create({ askS: 0.02 }), {
      onAlive: () => {
        if (++alive === 3) thrice.resolve()
      },
    })
    expect(answer).toMatchObject({ message: { content: 'Hel' } })
  })

  test('that answers other questions, and this one no more, is given up in the end; it is the request that failed', async () => {
    server.routes = { [chat]: hang, [other]: (_asked, response) => json(response, 200, {}) }
    const thrown = await thrownBy(ask(create({ askS: 0.02, silenceS: 0.3 })))
    expect(thrown).toMatchObject({
      code: 'EARSHOT_ENGINE_FAILED',
      message: expect.stringContaining('silent for 0.3 s'),
      hint: expect.stringContaining('engines.silence_s'),
    })
  })
})
