import { Readable } from 'node:stream'
import { EarshotError, type GenerateRequest, type ToolCall } from '@earshot/contract'
import { Ollama } from 'ollama'
import type { Embedder, EngineReport, ModelInfo, TextGenerator } from './engine.ts'
import {
  type Asked,
  type Asking,
  askAnything,
  askServer,
  connectionError,
  linesFrom,
  refusal,
} from './http.ts'
import {
  PATIENCE,
  PROMPT_ANSWER_S,
  type Patience,
  createServerWatchdog,
} from './server-watchdog.ts'
import { fromToolCalls, toOllama } from './ollama-messages.ts'

/** How long a server may take to say that it is there. */
const PROBE_MS = 3_000

/**
 * A client of Ollama for one piece of work, which `signal` ends at once. The library's own reader
 * prints what it cannot read and goes on: here a line that is no JSON is an error before the
 * library sees it.
 */
export function ollamaClient(
  host: string,
  signal?: AbortSignal,
  more: Pick<Asking, 'watchdog' | 'onAlive' | 'whole'> = {},
): Ollama {
  const asking = { who: `Ollama at ${new URL(host).host}`, signal, ...more }
  return new Ollama({
    host,
    fetch: (async (url: string, init: RequestInit) => {
      const own = init.signal ?? undefined
      const both =
        own === undefined || signal === undefined ? (own ?? signal) : AbortSignal.any([own, signal])
      // The library gives its headers as a plain object and its bodies as text.
      const answer = await askServer(String(url), init as Asked, { ...asking, signal: both })
      const streamed =
        answer.headers.get('content-type')?.includes('ndjson') === true && answer.body !== null
      return streamed
        ? new Response(
            Readable.toWeb(
              Readable.from(wholeLines(answer.body!, { ...asking, signal: both })),
            ) as unknown as ReadableStream,
            { headers: answer.headers },
          )
        : answer
    }) as typeof fetch,
  })
}

/** Passes on lines of JSON; throws on any other, and on what the server says went wrong. */
async function* wholeLines(
  body: AsyncIterable<Uint8Array>,
  asking: Asking,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  for await (const line of linesFrom(body, asking)) {
    if (line === '') continue
    let said: unknown
    try {
      said = JSON.parse(line)
    } catch (cause) {
      throw new EarshotError(
        'EARSHOT_ENGINE_FAILED',
        `${asking.who} broke off in the middle of its answer.`,
        { cause },
      )
    }
    if (typeof said === 'object' && said !== null && 'error' in said)
      throw refusal(asking.who, 500, String(said.error))
    yield encoder.encode(`${line}\n`)
  }
}

/**
 * Ollama: language models with streaming, tools and answers by a JSON Schema, and embeddings.
 *
 * @param host where it answers, such as http://127.0.0.1:11434
 */
export function createOllama({
  ollamaHost: host = 'http://127.0.0.1:11434',
  patience,
}: {
  ollamaHost?: string
  patience?: Partial<Patience>
}): [TextGenerator, Embedder] {
  const name = 'ollama'
  const who = `Ollama at ${new URL(host).host}`
  const about = {
    name,
    changes: true,
    remote: true,
    runsHere: /^(localhost|127\.|\[::1\])/.test(new URL(host).host),
  }
  const watchdog = createServerWatchdog({
    who,
    ask: (signal) => askAnything(new URL('/api/version', host).href, {}, signal),
    patience: () => ({ ...PATIENCE, answerS: PROMPT_ANSWER_S, ...patience }),
  })
  const asking = (signal: AbortSignal, onAlive?: () => void): Asking => ({
    who,
    signal,
    watchdog,
    onAlive,
  })

  async function probe(signal?: AbortSignal): Promise<EngineReport> {
    const soon = AbortSignal.any([
      AbortSignal.timeout(PROBE_MS),
      ...(signal === undefined ? [] : [signal]),
    ])
    try {
      const { version } = await ollamaClient(host, soon).version()
      return { available: true, version }
    } catch (err) {
      signal?.throwIfAborted()
      const strange =
        err instanceof SyntaxError
          ? `What answers at ${new URL(host).host} is no Ollama.`
          : `${who} does not answer within ${PROBE_MS / 1000} s.`
      return {
        available: false,
        reason: err instanceof EarshotError ? err.message : strange,
        missing: 'ollama',
      }
    }
  }

  /** Each kind's models; what a model can do, the server knows. */
  async function listModels(
    can: 'completion' | 'embedding',
    signal?: AbortSignal,
  ): Promise<ModelInfo[]> {
    const client = ollamaClient(host, signal)
    const [{ models }, loaded] = await Promise.all([
      client.list(),
      client.ps().then(
        ({ models }) => new Set(models.map((one) => one.name)),
        () => new Set<string>(),
      ),
    ])
    const known = await Promise.all(
      models.map(async ({ name: model, size }): Promise<ModelInfo[]> => {
        // One that was removed meanwhile is not there.
        const shown = await client.show({ model }).catch(() => undefined)
        if (shown === undefined || !abilities(shown).includes(can)) return []
        const dimensions =
          can === 'embedding' ? numberIn(shown.model_info, '.embedding_length') : undefined
        const context = numberIn(shown.model_info, '.context_length')
        const short = model.replace(/:latest$/, '')
        return [
          {
            name: model,
            size_bytes: size,
            loaded: loaded.has(model),
            ...(dimensions === undefined ? {} : { dimensions }),
            ...(context === undefined ? {} : { context }),
            ...(short === model ? {} : { aliases: [short] }),
          },
        ]
      }),
    )
    // What is loaded answers soonest, what is small fits most boxes.
    return known
      .flat()
      .sort(
        (a, b) => Number(b.loaded) - Number(a.loaded) || (a.size_bytes ?? 0) - (b.size_bytes ?? 0),
      )
  }

  return [
    {
      ...about,
      kind: 'generate',
      probe,
      models: (signal) => listModels('completion', signal),
      generate: (input, { onDelta, onAlive, signal }) =>
        chat(host, input, { onDelta, asking: asking(signal, onAlive) }),
    },
    {
      ...about,
      kind: 'embed',
      probe,
      models: (signal) => listModels('embedding', signal),
      async embed(texts, { model, signal, onTokens }) {
        try {
          const { embeddings, prompt_eval_count } = await ollamaClient(host, signal, {
            watchdog,
            whole: true,
          }).embed({ model, input: [...texts], truncate: false })
          if (prompt_eval_count) onTokens?.(prompt_eval_count)
          return embeddings
        } catch (err) {
          throw connectionError(err, asking(signal))
        }
      },
    },
  ]
}

type Chatting = { onDelta: Parameters<TextGenerator['generate']>[1]['onDelta']; asking: Asking }

async function chat(
  host: string,
  input: GenerateRequest & { model: string },
  { onDelta, asking }: Chatting,
): ReturnType<TextGenerator['generate']> {
  let content = ''
  const calls: ToolCall[] = []
  try {
    for await (const {
      message,
      done,
      done_reason,
      prompt_eval_count,
      eval_count,
    } of await ollamaClient(host, asking.signal, asking).chat(toOllama(input))) {
      const asked = fromToolCalls(message?.tool_calls ?? [])
      content += message?.content ?? ''
      calls.push(...asked)
      if (message?.content || asked.length > 0)
        onDelta({
          ...(message.content ? { content: message.content } : {}),
          ...(asked.length > 0 ? { tool_calls: asked } : {}),
        })
      if (!done) continue
      return {
        model: input.model,
        message: {
          role: 'assistant',
          content,
          ...(calls.length === 0 ? {} : { tool_calls: calls }),
        },
        finish_reason:
          calls.length > 0 ? 'tool_calls' : done_reason === 'length' ? 'length' : 'stop',
        usage: { prompt_tokens: prompt_eval_count ?? 0, completion_tokens: eval_count ?? 0 },
      }
    }
  } catch (err) {
    throw connectionError(err, asking)
  }
  throw new EarshotError(
    'EARSHOT_ENGINE_FAILED',
    `${asking.who} ended its answer before it was done.`,
  )
}

type Shown = { capabilities?: string[]; details?: { family?: string }; model_info?: unknown }

/** Servers before 0.6.4 do not say what a model can do: those whose family is BERT embed. */
function abilities({ capabilities, details }: Shown): string[] {
  return capabilities ?? (/bert/i.test(details?.family ?? '') ? ['embedding'] : ['completion'])
}

function numberIn(info: unknown, ending: string): number | undefined {
  const entries =
    info instanceof Map
      ? [...info.entries()]
      : Object.entries((info ?? {}) as Record<string, unknown>)
  const found = entries.find(([key]) => String(key).endsWith(ending))?.[1]
  return typeof found === 'number' ? found : undefined
}

/**
 * Has Ollama load a model down.
 *
 * @param options.onProgress the share of all its parts that is there, 0 to 1
 * @throws EarshotError EARSHOT_ENGINE_MISSING when there is no Ollama or no such model; the
 *   signal's reason on abort
 */
export async function pullOllama(
  host: string,
  model: string,
  { signal, onProgress }: { signal: AbortSignal; onProgress?: (fraction: number) => void },
): Promise<void> {
  const who = `Ollama at ${new URL(host).host}`
  const parts = new Map<string, { total: number; completed: number }>()
  try {
    for await (const { digest, total, completed } of await ollamaClient(host, signal).pull({
      model,
      stream: true,
    })) {
      if (digest === undefined || !total) continue
      parts.set(digest, { total, completed: completed ?? 0 })
      const sum = [...parts.values()].reduce((all, part) => ({
        total: all.total + part.total,
        completed: all.completed + part.completed,
      }))
      onProgress?.(sum.completed / sum.total)
    }
  } catch (err) {
    const error = connectionError(err, { who, signal })
    // The registry's refusal comes as an error in the stream.
    if (
      error instanceof EarshotError &&
      /pull model manifest|file does not exist/.test(error.message)
    )
      throw new EarshotError('EARSHOT_ENGINE_MISSING', error.message, { cause: err })
    throw error
  }
}

/** Has Ollama delete a model. */
export async function removeOllama(
  host: string,
  model: string,
  signal: AbortSignal,
): Promise<void> {
  await ollamaClient(host, signal).delete({ model })
}
