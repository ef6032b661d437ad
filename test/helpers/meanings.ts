import {
  type EngineServer,
  type Route,
  engineServer,
  json,
} from '../../packages/worker/test/helpers/engine-server.ts'

/** Words of one line mean about the same. */
const MEANINGS = [
  'ship vessel boat steamer',
  'harbour port quay',
  'bread loaf bun',
  'oven stove furnace',
  'rain drizzle downpour',
  'doctor physician medic',
  'letter note message',
  'king monarch ruler',
].map((line) => line.split(' '))
/** All texts have this in common, as with real models: unrelated ones are not at right angles. */
const COMMON = 0.5

export type Meanings = EngineServer & {
  /** The texts that were asked for, in order. */
  texts: string[]
  /** How long its vectors are; as many as there are meanings, and more. */
  dimensions: number
  /** Called before texts are answered. */
  before: (texts: readonly string[]) => Promise<void> | void
}

/**
 * An embedding server for one model: strict in Ollama's and in OpenAI's protocol. It takes texts
 * only with the prefixes that nomic-embed-text was trained with, and none that is longer than
 * `most` characters. Texts get near vectors when their words mean the same.
 */
export async function createMeanings(model: string, { most = 2_000 } = {}): Promise<Meanings> {
  const embed =
    (
      refuse: (status: number, message: string) => void,
      answer: (vectors: number[][]) => void,
      wrong: (body: Record<string, unknown>) => string | undefined,
    ): Route =>
    async (asked) => {
      const body = asked.json()
      const texts = body.input as string[]
      if (body.model !== model && body.model !== `${model}:latest`)
        return refuse(404, `model "${String(body.model)}" not found, try pulling it first`)
      const fault =
        wrong(body) ??
        (Array.isArray(texts) && texts.every((text) => typeof text === 'string' && text !== '')
          ? undefined
          : 'invalid input type')
      if (fault !== undefined) return refuse(400, fault)
      if (texts.some((text) => text.length > most))
        return refuse(400, 'the input length exceeds the context length')
      if (texts.some((text) => !/^search_(query|document): /.test(text)))
        return refuse(400, 'a text has no prefix')
      server.texts.push(...texts)
      await server.before(texts)
      answer(texts.map((text) => vectorOf(text, server.dimensions)))
    }
  const server: Meanings = Object.assign(
    await engineServer({
      'GET /api/version': (_, response) => json(response, 200, { version: '0.40.1' }),
      'GET /api/tags': (_, response) =>
        json(response, 200, {
          models: [{ name: `${model}:latest`, model: `${model}:latest`, size: 3e8 }],
        }),
      'GET /api/ps': (_, response) => json(response, 200, { models: [] }),
      'POST /api/show': (_, response) =>
        json(response, 200, { capabilities: ['embedding'], model_info: {} }),
      'POST /api/embed': (asked, response) =>
        embed(
          (status, error) => json(response, status, { error }),
          (embeddings) => json(response, 200, { model, embeddings }),
          ({ truncate }) => (truncate === false ? undefined : 'truncate must be false'),
        )(asked, response),
      'GET /v1/models': (_, response) =>
        json(response, 200, { object: 'list', data: [{ id: model, object: 'model' }] }),
      'POST /v1/embeddings': (asked, response) =>
        embed(
          (status, message) =>
            json(response, status, { error: { message, type: 'invalid_request_error' } }),
          (vectors) =>
            json(response, 200, {
              object: 'list',
              model,
              data: vectors.map((embedding, index) => ({ object: 'embedding', index, embedding })),
              usage: { prompt_tokens: 1, total_tokens: 1 },
            }),
          ({ encoding_format: format }) =>
            format === 'float' ? undefined : 'encoding_format must be float',
        )(asked, response),
    }),
    { texts: [] as string[], dimensions: MEANINGS.length + 8, before: () => {} },
  )
  return server
}

/** One dimension a meaning, seven that other words share, one that all texts share; of length 1. */
function vectorOf(text: string, dimensions: number): number[] {
  const vector = Array.from({ length: dimensions }, () => 0)
  const words =
    text
      .replace(/^search_\w+: /, '')
      .toLowerCase()
      .match(/[a-z]+/g) ?? []
  for (const word of words) {
    const meaning = MEANINGS.findIndex((line) => line.includes(word))
    if (meaning >= 0) vector[meaning]! += 1
    else
      vector[
        MEANINGS.length + ([...word].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 7)
      ]! += 0.1
  }
  const length = Math.hypot(...vector) || 1
  return [
    ...vector.map((value) => (value / length) * Math.sqrt(1 - COMMON ** 2)).slice(0, -1),
    COMMON,
  ]
}
