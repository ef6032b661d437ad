import { ERRORS, EarshotError, type ErrorCode, trimEndOf } from '@earshot/contract'

/** The part of `fetch` the client needs; pass your own to go through a proxy or to test. */
export type Fetch = (url: string, init: RequestInit & { duplex?: 'half' }) => Promise<Response>

export type Query = Record<
  string,
  string | number | boolean | readonly (string | number)[] | undefined
>

export type Request = {
  method?: 'GET' | 'POST'
  query?: Query
  /** Sent as JSON. */
  json?: unknown
  /** Sent as it is. */
  body?: BodyInit
  headers?: Record<string, string>
  signal?: AbortSignal | undefined
}

export type Http = {
  readonly url: string
  /** The response, its status 2xx; throws an EarshotError otherwise. */
  send(path: string, request?: Request): Promise<Response>
  /** The same, its body parsed as JSON. */
  json<T>(path: string, request?: Request): Promise<T>
}

/** Sends requests to one mesh and turns every failure into an EarshotError. */
export function createHttp(settings: {
  url: string
  key?: string | undefined
  fetch: Fetch
}): Http {
  const url = trimEndOf(settings.url, '/')
  const send = async (path: string, request: Request = {}): Promise<Response> => {
    const init: RequestInit & { duplex?: 'half' } = {
      method:
        request.method ??
        (request.json === undefined && request.body === undefined ? 'GET' : 'POST'),
      headers: headersOf(request, settings.key),
      signal: request.signal ?? null,
    }
    if (request.json !== undefined) init.body = JSON.stringify(request.json)
    if (request.body !== undefined) init.body = request.body
    if (request.body instanceof ReadableStream) init.duplex = 'half'
    const response = await settings
      .fetch(url + path + queryOf(request.query), init)
      .catch((cause: unknown) => {
        throw unreachable(url, cause, request.signal)
      })
    if (!response.ok) throw await failed(url, response)
    return response
  }
  const json = async <T>(path: string, request?: Request): Promise<T> => {
    const response = await send(path, request)
    try {
      return (await response.json()) as T
    } catch (cause) {
      throw unreachable(url, cause, request?.signal)
    }
  }
  return { url, send, json }
}

function headersOf(request: Request, key: string | undefined): Record<string, string> {
  return {
    accept: 'application/json',
    ...(request.json === undefined ? {} : { 'content-type': 'application/json' }),
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    ...request.headers,
  }
}

function queryOf(query: Query = {}): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue
    params.set(name, Array.isArray(value) ? value.join(',') : String(value))
  }
  const text = params.toString()
  return text === '' ? '' : `?${text}`
}

/**
 * What fetch throws is either the caller's own abort, which passes unchanged, or "no one answered".
 */
function unreachable(url: string, cause: unknown, signal: AbortSignal | null | undefined): unknown {
  if (signal?.aborted) return signal.reason
  return new EarshotError(
    'EARSHOT_UNREACHABLE',
    `No Earshot mesh answers at ${url} (${reasonOf(cause)}).`,
    {
      hint: 'Start one with: npm start - or set EARSHOT_URL to the address of a running one.',
      cause,
    },
  )
}

/** Node hides the reason one level down: "fetch failed" with a cause such as ECONNREFUSED. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const inner = cause.cause
  if (inner instanceof Error)
    return ('code' in inner && typeof inner.code === 'string' && inner.code) || inner.message
  return cause.message
}

async function failed(url: string, response: Response): Promise<EarshotError> {
  const text = await response.text().catch((error: unknown) => reasonOf(error))
  const body = parsed(text)
  if (body === undefined) {
    return new EarshotError(
      'EARSHOT_UNREACHABLE',
      `What answers at ${url} is not Earshot: HTTP ${response.status}.`,
      {
        hint: 'Set EARSHOT_URL to the address of a running mesh.',
      },
    )
  }
  const code = body.code in ERRORS ? (body.code as ErrorCode) : 'EARSHOT_INTERNAL'
  return new EarshotError(code, body.message, {
    ...(body.field === undefined ? {} : { field: body.field }),
    ...(body.hint === undefined ? {} : { hint: body.hint }),
  })
}

function parsed(
  text: string,
): { code: string; message: string; field?: string; hint?: string } | undefined {
  try {
    const body = JSON.parse(text) as {
      error?: { code?: unknown; message?: unknown; field?: string; hint?: string }
    }
    const error = body?.error
    if (typeof error?.code !== 'string' || typeof error.message !== 'string') return undefined
    return { ...error, code: error.code, message: error.message }
  } catch {
    // Not JSON: some other program's error page.
    return undefined
  }
}

/** Whether asking again later may help: no one answered, or the mesh itself is in trouble. */
export function isPassing(error: unknown): boolean {
  return (
    error instanceof EarshotError &&
    (error.code === 'EARSHOT_UNREACHABLE' || error.code === 'EARSHOT_BUSY' || error.status >= 500)
  )
}
