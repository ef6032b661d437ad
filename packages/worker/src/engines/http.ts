import http from 'node:http'
import https from 'node:https'
import { Readable } from 'node:stream'
import { EarshotError, type ErrorCode } from '@earshot/contract'
import { linesOf } from '@earshot/shared/lines'
import type { z } from 'zod'
import type { ServerWatchdog, Watching } from './server-watchdog.ts'

/** Past what a model can hold, however the servers word it. */
const TOO_LONG =
  /context (length|window|size)|maximum context|exceeds? (the )?(available )?context|(prompt|input) is too (long|large)|too many tokens|tokens? exceed/i
const NO_MEMORY = /requires more (system )?memory|out of memory|insufficient memory|cudaMalloc/i
/** No one is there, or no one more: found before anything was answered. */
const NOT_THERE = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
])
const SILENT = 'ESILENT'
/**
 * A model that is loaded first, and a long prompt on a processor, take their time before the first
 * byte.
 */
const QUIET_LIMIT_S = 900

export type Asking = Watching & {
  /** Who is asked, as people know it: `Ollama at 127.0.0.1:11434`. */
  who: string
  signal?: AbortSignal | undefined
  /** Watches over the answer, where that may take long. */
  watchdog?: ServerWatchdog | undefined
}

/** A request's body: text, or a form with files, which is held in memory as a whole. */
export type Asked = {
  method?: string | undefined
  headers?: Record<string, string> | undefined
  body?: string | FormData | undefined
}

/**
 * Asks an engine that is a server; closes the connection at once when the signal fires, and waits
 * longer for an answer than fetch() does (5 minutes). What it throws says who is guilty: a server
 * that is away, has not the model or has no memory for it is the node's matter, a request that it
 * refuses the job's.
 *
 * @throws EarshotError EARSHOT_ENGINE_MISSING, EARSHOT_ENGINE_FAILED, EARSHOT_BAD_REQUEST,
 *   EARSHOT_CONTEXT_TOO_LONG, EARSHOT_TOO_LARGE, EARSHOT_UNREACHABLE (busy: later); the signal's
 *   reason on abort
 */
export async function askServer(
  url: string,
  asked: Asked,
  { who, signal, watchdog, onAlive, whole }: Asking,
): Promise<Response> {
  let answer: Response
  await watchdog?.check()
  try {
    answer = await send(
      new URL(url),
      asked,
      signal,
      watchdog && ((request) => watchdog.watch(request, { onAlive, whole })),
    )
  } catch (err) {
    throw connectionError(err, { who, signal })
  }
  if (answer.ok) return answer
  const text = await answer.text().catch(() => '')
  throw refusal(who, answer.status, sentenceIn(text) || answer.statusText)
}

/** Asks anything: resolves as soon as something is answered, whatever it is. */
export async function askAnything(url: string, asked: Asked, signal: AbortSignal): Promise<void> {
  const { body } = await send(new URL(url), asked, signal)
  await body?.cancel()
}

async function send(
  url: URL,
  { method = 'GET', headers = {}, body }: Asked,
  signal: AbortSignal | undefined,
  watch?: (request: http.ClientRequest) => void,
): Promise<Response> {
  signal?.throwIfAborted()
  // A form's boundary, which its header names, is made where it is written.
  const form = body instanceof FormData ? new Response(body) : undefined
  const bytes =
    form === undefined
      ? Buffer.from(body === undefined ? '' : String(body))
      : Buffer.from(await form.arrayBuffer())
  const type = form?.headers.get('content-type')
  const request = (url.protocol === 'https:' ? https : http).request(url, {
    method,
    signal,
    ...(watch === undefined ? { timeout: QUIET_LIMIT_S * 1000 } : {}),
    // A connection of its own: one that was kept may be closed by the server at the very moment it
    // is used, and no one knows then what was done.
    agent: false,
    headers: {
      ...headers,
      ...(type ? { 'content-type': type } : {}),
      ...(body === undefined ? {} : { 'content-length': String(bytes.length) }),
    },
  })
  request.setNoDelay(true)
  watch?.(request)
  request.on('timeout', () =>
    request.destroy(Object.assign(new Error('It was silent for too long.'), { code: SILENT })),
  )
  const answered = Promise.withResolvers<http.IncomingMessage>()
  request.on('response', answered.resolve).on('error', answered.reject)
  request.end(bytes)
  const incoming = await answered.promise
  // What goes wrong from here on, anyone who reads the body is told.
  const status = incoming.statusCode ?? 500
  const content = [204, 304].includes(status)
    ? null
    : (Readable.toWeb(incoming) as unknown as ReadableStream<Uint8Array>)
  return new Response(content, {
    status,
    statusText: incoming.statusMessage ?? '',
    headers: Object.entries(incoming.headers).map(([name, value]): [string, string] => [
      name,
      String(value),
    ]),
  })
}

/** What a broken connection means; the signal's reason when it was this side that broke it. */
export function connectionError(err: unknown, { who, signal }: Asking): unknown {
  if (signal?.aborted) return signal.reason
  if (err instanceof EarshotError) return err
  const cause = err instanceof Error && err.cause instanceof Error ? err.cause : err
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (NOT_THERE.has(code))
    return new EarshotError('EARSHOT_ENGINE_MISSING', `${who} does not answer (${code}).`, {
      cause: err,
    })
  if (code === SILENT)
    return new EarshotError(
      'EARSHOT_ENGINE_FAILED',
      `${who} gave no sign of life for ${QUIET_LIMIT_S / 60} minutes.`,
      { cause: err },
    )
  return new EarshotError('EARSHOT_ENGINE_FAILED', `${who} broke off the connection.`, {
    cause: err,
  })
}

/** What a refusal means, by its status and its words. */
export function refusal(who: string, status: number, said: string): EarshotError {
  const sentence = `${who} answered ${status}: ${said.replace(/\s+/g, ' ').slice(0, 300)}`
  return new EarshotError(
    codeOf(status, said),
    sentence,
    TOO_LONG.test(said)
      ? { field: 'messages', hint: 'Send less, or choose a model that can hold more.' }
      : {},
  )
}

function codeOf(status: number, said: string): ErrorCode {
  if (NO_MEMORY.test(said)) return 'EARSHOT_ENGINE_MISSING'
  if (TOO_LONG.test(said)) return 'EARSHOT_CONTEXT_TOO_LONG'
  if (status === 413) return 'EARSHOT_TOO_LARGE'
  // The key is wrong, or the model or the route is not there: of this node's server.
  if (status === 401 || status === 403 || status === 404 || status === 405)
    return 'EARSHOT_ENGINE_MISSING'
  if (status === 408 || status === 429 || status === 502 || status === 503 || status === 504)
    return 'EARSHOT_UNREACHABLE'
  return status < 500 ? 'EARSHOT_BAD_REQUEST' : 'EARSHOT_ENGINE_FAILED'
}

/** `{"error": "…"}`, `{"error": {"message": "…"}}`, `{"detail": …}`, or whatever else was said. */
export function sentenceIn(text: string): string {
  try {
    const { error, detail, message } = JSON.parse(text) as {
      error?: unknown
      detail?: unknown
      message?: unknown
    }
    const said =
      typeof error === 'object' && error !== null && 'message' in error
        ? error.message
        : (error ?? detail ?? message)
    return typeof said === 'string' ? said : said === undefined ? text : JSON.stringify(said)
  } catch {
    return text
  }
}

/**
 * The lines of a body as they come; see {@link linesOf}.
 *
 * @throws what {@link connectionError} makes of a body that breaks off; EARSHOT_ENGINE_FAILED for a
 *   line without end
 */
export async function* linesFrom(
  body: AsyncIterable<Uint8Array>,
  asking: Asking,
): AsyncGenerator<string> {
  try {
    yield* linesOf(body)
  } catch (err) {
    if (err instanceof EarshotError && err.code === 'EARSHOT_TOO_LARGE')
      throw new EarshotError('EARSHOT_ENGINE_FAILED', `${asking.who} sent a line without end.`, {
        cause: err,
      })
    throw connectionError(err, asking)
  }
}

/** A server that speaks OpenAI's protocol, for one piece of work. */
export type OpenAiServer = {
  post(path: string, body: object | FormData, accept?: string): Promise<Response>
  asking: Asking
}

/** What was answered, by its schema. Throws EARSHOT_ENGINE_FAILED where it is something else. */
export async function readJson<S extends z.ZodType>(
  answer: Response,
  schema: S,
  asking: Asking,
): Promise<z.output<S>> {
  let body: unknown
  try {
    body = await answer.json()
  } catch (err) {
    if (!(err instanceof SyntaxError)) throw connectionError(err, asking)
  }
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  throw new EarshotError(
    'EARSHOT_ENGINE_FAILED',
    `${asking.who} answered what is not OpenAI's protocol.`,
    { cause: parsed.error },
  )
}
