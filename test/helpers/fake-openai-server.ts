import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import {
  type Asked,
  type EngineServer,
  engineServer,
  json,
} from '../../packages/worker/test/helpers/engine-server.ts'

export type FakeOpenAiServer = EngineServer & {
  /** What it does with a chat, until told otherwise: it says `Hello from NAME.`, a word a piece. */
  talk: (asked: Asked, response: ServerResponse, say: Say) => Promise<void>
  /** Chats it was asked for. */
  chats(): Asked[]
  /** The next chat that it is asked for. */
  nextChat(): Promise<Asked>
}
export type Say = {
  piece(delta: object, finish?: string): void
  /** The usage and the end. */
  end(): void
}

/**
 * A server with OpenAI's protocol, as strict as the real ones, that has a language model and one
 * for vectors.
 */
export async function createFakeOpenAiServer(
  name: string,
  models = ['talker', 'embedder-embed'],
): Promise<FakeOpenAiServer> {
  const server = await engineServer()
  const waiting: ((asked: Asked) => void)[] = []
  const fakeOpenAi: FakeOpenAiServer = Object.assign(server, {
    talk: async (_: Asked, __: ServerResponse, { piece, end }: Say) => {
      for (const word of ['Hello ', 'from ', `${name}.`]) piece({ content: word })
      piece({}, 'stop')
      end()
    },
    chats: () => server.asked.filter(({ path }) => path.endsWith('/chat/completions')),
    nextChat: () => new Promise<Asked>((resolve) => waiting.push(resolve)),
  })
  server.routes['GET /v1/models'] = (_, response) =>
    json(response, 200, { object: 'list', data: models.map((id) => ({ id, object: 'model' })) })
  server.routes['POST /v1/embeddings'] = (asked, response) => {
    const { input } = asked.json() as { input: string[] }
    json(response, 200, {
      data: input.map((text, index) => ({ index, embedding: [text.length, 0.5, -1] })),
    })
  }
  server.routes['POST /v1/chat/completions'] = async (asked, response) => {
    for (const tell of waiting.splice(0)) tell(asked)
    await fakeOpenAi.talk(asked, response, sayOn(response))
  }
  return fakeOpenAi
}

function sayOn(response: ServerResponse): Say {
  const send = (data: unknown): void => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`)
  }
  return {
    piece: (delta, finish) =>
      send({
        id: 'c',
        object: 'chat.completion.chunk',
        created: 1,
        model: 'talker',
        choices: [{ index: 0, delta, finish_reason: finish ?? null }],
      }),
    end() {
      send({
        id: 'c',
        object: 'chat.completion.chunk',
        choices: [],
        usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
      })
      send('[DONE]')
      response.end()
    },
  }
}

/** Says nothing until its connection is gone. */
export const hang = async (asked: Asked): Promise<void> => asked.gone
/** Breaks off without a word. */
export const crash = async (_: Asked, response: ServerResponse): Promise<void> => {
  response.socket?.destroy()
  await once(response, 'close')
}
