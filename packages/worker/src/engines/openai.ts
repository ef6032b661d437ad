import { EarshotError, ModelName, trimEndOf } from '@earshot/contract'
import { z } from 'zod'
import type {
  Embedder,
  Engine,
  EngineKind,
  EngineReport,
  ModelInfo,
  SpeechToText,
  TextGenerator,
  TextToSpeech,
} from './engine.ts'
import { type OpenAiServer, askAnything, askServer, readJson } from './http.ts'
import {
  PATIENCE,
  PROMPT_ANSWER_S,
  type Patience,
  type Watching,
  createServerWatchdog,
} from './server-watchdog.ts'
import { hearWith, speakWith } from './openai-audio.ts'
import { chatWith } from './openai-chat.ts'

/** Servers that answer whatever they are busy with, by what they call themselves in their lists. */
const PROMPT = /^(llamacpp|vllm|sglang|organization_owner)$/

const PROBE_MS = 3_000
const LIST_MS = 5_000
const KINDS: readonly EngineKind[] = ['transcribe', 'speak', 'embed', 'generate']
/** What the names of models tell of them; servers seldom say what theirs are for. */
const BY_NAME: readonly [EngineKind, RegExp][] = [
  ['transcribe', /whisper|transcri|parakeet|canary|(^|[^a-z])(stt|asr)([^a-z]|$)/i],
  ['speak', /kokoro|piper|orpheus|speech|(^|[^a-z])(tts)([^a-z]|$)/i],
  ['embed', /embed|minilm|(^|[^a-z])(bge|gte|e5)([^a-z]|$)/i],
]
const BY_TASK: Record<string, EngineKind> = {
  'automatic-speech-recognition': 'transcribe',
  'text-to-speech': 'speak',
  'feature-extraction': 'embed',
  embeddings: 'embed',
  embedding: 'embed',
  'text-generation': 'generate',
  llm: 'generate',
}
const Size = z.number().positive().nullish().catch(undefined)
const Models = z.object({
  data: z.array(
    z.object({
      id: z.string(),
      owned_by: z.string().nullish().catch(undefined),
      task: z.string().optional(),
      language: z
        .union([z.array(z.string()), z.string()])
        .nullish()
        .catch(undefined),
      type: z.string().optional(),
      max_model_len: Size,
      max_context_length: Size,
      meta: z.object({ size: Size, n_embd: Size, n_ctx: Size, n_ctx_train: Size }).nullish(),
    }),
  ),
})
const Vectors = z.object({
  usage: z
    .object({ prompt_tokens: z.number().int().nonnegative().nullish() })
    .nullish()
    .catch(undefined),
  data: z.array(z.object({ index: z.number().int(), embedding: z.array(z.number()) })),
})

/**
 * Any server that speaks OpenAI's protocol: llama-server, vLLM, LM Studio, speaches, or one far
 * away. One engine for each kind and server.
 *
 * @param options.openaiUrls base addresses, such as http://gaming-pc:8080/v1. What the server does
 *   not tell of its models may be added behind a #:
 *   `http://box:8000/v1#transcribe=whisper-1&speak=tts-1`
 * @param options.openaiKey sent to each of them
 * @param options.patience with servers that are silent
 */
export function createOpenAi({
  openaiUrls = [],
  openaiKey,
  patience,
}: {
  openaiUrls?: readonly string[]
  openaiKey?: string | undefined
  patience?: Partial<Patience>
}): Engine[] {
  return openaiUrls.flatMap((address) => enginesOf(address, openaiKey, patience))
}

function enginesOf(
  address: string,
  key: string | undefined,
  patience: Partial<Patience> | undefined,
): Engine[] {
  const url = new URL(address)
  const told = new URLSearchParams(url.hash.slice(1))
  const base = `${url.origin}${url.pathname === '/' ? '/v1' : trimEndOf(url.pathname, '/')}`
  const who = `The server at ${url.host}`
  const headers: Record<string, string> =
    key === undefined ? {} : { authorization: `Bearer ${key}` }
  let prompt = false
  const watchdog = createServerWatchdog({
    who,
    ask: (signal) => askAnything(`${base}/models`, { headers }, signal),
    patience: () => ({ ...PATIENCE, ...(prompt ? { answerS: PROMPT_ANSWER_S } : {}), ...patience }),
  })
  const server = (signal: AbortSignal, watching: Watching = { whole: true }): OpenAiServer => ({
    asking: { who, signal },
    post: (path, body, accept = 'application/json') =>
      askServer(
        base + path,
        {
          method: 'POST',
          headers: {
            ...headers,
            accept,
            ...(body instanceof FormData ? {} : { 'content-type': 'application/json' }),
          },
          body: body instanceof FormData ? body : JSON.stringify(body),
        },
        { who, signal, watchdog, ...watching },
      ).catch((err: unknown) => {
        // It may not be what it was.
        last = undefined
        throw err
      }),
  })
  const fetchList = async () => {
    const signal = AbortSignal.timeout(PROBE_MS)
    try {
      const list = await readJson(
        await askServer(`${base}/models`, { headers }, { who, signal }),
        Models,
        { who, signal },
      )
      prompt = list.data.some(({ owned_by }) => PROMPT.test(owned_by ?? ''))
      return list
    } catch (err) {
      if (err instanceof EarshotError) throw err
      throw new EarshotError(
        'EARSHOT_ENGINE_MISSING',
        `${who} does not answer within ${PROBE_MS / 1000} s.`,
        { cause: err },
      )
    }
  }
  let last: { at: number; list: ReturnType<typeof fetchList> } | undefined
  /**
   * Its list, asked for once by all who look at the same time: each kind is an engine of its own.
   */
  const listed = (): ReturnType<typeof fetchList> => {
    if (last === undefined || performance.now() - last.at > LIST_MS)
      last = { at: performance.now(), list: fetchList() }
    return last.list
  }
  const name = `openai:${url.host}`

  async function models(kind: EngineKind): Promise<ModelInfo[]> {
    const named = told.getAll(kind).map((model): ModelInfo => ({
      name: model,
      size_bytes: null,
      ...(kind === 'transcribe' ? heardBy(model) : {}),
    }))
    const answer = await listed().catch((err: unknown) => {
      // A server for one thing alone, such as whisper.cpp's, has no list; it is believed when it
      // says at all that it is there.
      if (told.size > 0 && err instanceof EarshotError && / answered 4\d\d:/.test(err.message))
        return { data: [] }
      throw err
    })
    // One by whose name no job could ask for it is not offered.
    const found = answer.data.filter(
      (model) =>
        ModelName.safeParse(model.id).success &&
        !named.some((one) => one.name === model.id) &&
        !toldElsewhere(told, kind, model.id) &&
        kindOf(model) === kind,
    )
    return [
      ...named,
      ...found.map(({ id, meta, language, ...more }): ModelInfo => ({
        name: id,
        size_bytes: meta?.size ?? null,
        ...(kind === 'embed' && meta?.n_embd ? { dimensions: meta.n_embd } : {}),
        ...(kind === 'transcribe' ? heardBy(id, language) : {}),
        ...contextOf({ ...meta, ...more }),
      })),
    ]
  }

  const probe = async (kind: EngineKind): Promise<EngineReport> => {
    try {
      return (await models(kind)).length > 0
        ? { available: true }
        : { available: false, reason: `${who} has no model for ${kind}.` }
    } catch (err) {
      if (!(err instanceof EarshotError)) throw err
      return { available: false, reason: err.message, broken: true, missing: 'openai-server' }
    }
  }
  const about = <K extends EngineKind>(kind: K) => ({
    name,
    kind,
    changes: true,
    remote: true,
    probe: () => probe(kind),
    models: () => models(kind),
  })
  return [
    {
      ...about('transcribe'),
      transcribe: (input) => hearWith(server(input.signal), input),
    } satisfies SpeechToText,
    {
      ...about('speak'),
      speak: (input) => speakWith(server(input.signal), input),
    } satisfies TextToSpeech,
    {
      ...about('embed'),
      embed: (texts, { model, signal, onTokens }) =>
        embedWith(server(signal), texts, { model, onTokens }),
    } satisfies Embedder,
    {
      ...about('generate'),
      generate: (input, { onDelta, onAlive, signal }) =>
        chatWith(server(signal, { onAlive }), input, onDelta),
    } satisfies TextGenerator,
  ]
}

/**
 * vLLM and SGLang say it themselves, LM Studio with its model, llama-server in what it tells of the
 * file: there the context it was started with comes first.
 */
function contextOf({
  max_model_len,
  max_context_length,
  n_ctx,
  n_ctx_train,
}: {
  [key in 'max_model_len' | 'max_context_length' | 'n_ctx' | 'n_ctx_train']?:
    | number
    | null
    | undefined
}): Pick<ModelInfo, 'context'> {
  const context = max_model_len ?? n_ctx ?? max_context_length ?? n_ctx_train
  return context == null ? {} : { context }
}

/**
 * What a model hears: as the server says (speaches does), else by its name: Whisper's own call
 * those that know English alone `….en`.
 */
function heardBy(
  name: string,
  said?: string[] | string | null,
): Pick<ModelInfo, 'languages' | 'translates'> {
  const languages = [said ?? []].flat().filter((code) => /^[a-z]{2,3}$/.test(code))
  if (languages.length === 0 && !/\.en$/.test(name)) return {}
  const known = languages.length === 0 ? ['en'] : languages
  return {
    languages: known,
    ...(known.every((code) => code === 'en') ? { translates: false } : {}),
  }
}

/** Said to be for another kind. */
const toldElsewhere = (told: URLSearchParams, kind: EngineKind, model: string): boolean =>
  KINDS.some((other) => other !== kind && told.getAll(other).includes(model))

function kindOf({
  id,
  task,
  type,
}: {
  id: string
  task?: string | undefined
  type?: string | undefined
}): EngineKind {
  return (
    BY_TASK[task ?? ''] ??
    BY_TASK[type ?? ''] ??
    BY_NAME.find(([, pattern]) => pattern.test(id))?.[0] ??
    'generate'
  )
}

async function embedWith(
  server: OpenAiServer,
  texts: readonly string[],
  { model, onTokens }: { model: string; onTokens: ((count: number) => void) | undefined },
): Promise<number[][]> {
  const answer = await server.post('/embeddings', { model, input: texts, encoding_format: 'float' })
  const { data, usage } = await readJson(answer, Vectors, server.asking)
  if (usage?.prompt_tokens) onTokens?.(usage.prompt_tokens)
  return data.toSorted((a, b) => a.index - b.index).map(({ embedding }) => embedding)
}
