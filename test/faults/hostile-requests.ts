import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:net'
import { createRandom, type Random } from './random.ts'

/** What a run of hostile requests did to a mesh. */
export type HostileRun = {
  /**
   * How many answers had each status; `none`: the connection was closed, or the request was never
   * whole.
   */
  statuses: Record<string, number>
  /** Requests that were answered with 5xx, but for those that want an engine which is nowhere. */
  broken: { request: string; answer: string }[]
  /** Whole requests without an answer. */
  hung: string[]
  /** Milliseconds, of the slowest answer of /healthz, and how many were not 200. */
  slowestHealthMs: number
  healthFailures: number
}

/** A request as bytes. `whole`: an answer is due. */
type Hostile = { bytes: Buffer; whole: boolean }
type Route = { method: string; path: string }

const AT_ONCE = 16
/** A whole request that has no answer by then hangs. */
const ANSWER_MS = 20_000
/** One that is not whole is left after so long. */
const LEAVE_MS = 300
/** True of a mesh without such an engine, and no fault. */
const LACKING = ['EARSHOT_NO_NODE', 'EARSHOT_ENGINE_MISSING']

/**
 * Sends requests that no good client sends to a running mesh, the same ones for the same seed, and
 * watches /healthz.
 *
 * @param options.url of a mesh on loopback
 * @example
 * const { broken } = await runHostileRequests({ url: 'http://127.0.0.1:7700', seed: 7, requests: 500 })
 */
export async function runHostileRequests({
  url,
  seed,
  requests,
}: {
  url: string
  seed: number
  requests: number
}): Promise<HostileRun> {
  const random = createRandom(seed)
  const routes = await routesOf(url)
  const port = Number(new URL(url).port)
  const run: HostileRun = {
    statuses: {},
    broken: [],
    hung: [],
    slowestHealthMs: 0,
    healthFailures: 0,
  }
  const over = new AbortController()
  const watching = watchHealth(url, run, over.signal)
  let left = requests
  const attack = async (): Promise<void> => {
    while (left-- > 0) note(run, ...(await send(port, hostile(random, routes))))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, attack))
  over.abort()
  await watching
  return run
}

async function routesOf(url: string): Promise<Route[]> {
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as {
    paths: Record<string, object>
  }
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => ({ method: method.toUpperCase(), path })),
  )
}

async function watchHealth(url: string, run: HostileRun, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const asked = performance.now()
    const ok = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(30_000) }).then(
      (answer) => answer.ok,
      () => false,
    )
    run.slowestHealthMs = Math.max(run.slowestHealthMs, performance.now() - asked)
    if (!ok) run.healthFailures++
    await sleep(100, undefined, { signal }).catch(() => {})
  }
}

function note(run: HostileRun, sent: Hostile, answer: string): void {
  // `100 Continue` goes before an answer, and is none.
  const status =
    /^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 'none'
  run.statuses[status] = (run.statuses[status] ?? 0) + 1
  const request = sent.bytes.subarray(0, 600).toString('latin1')
  if (status === 'none' && sent.whole) run.hung.push(request)
  if (status.startsWith('5') && !LACKING.some((code) => answer.includes(code)))
    run.broken.push({ request, answer: answer.slice(0, 600) })
}

/** Sends it over a connection of its own; resolves with what came back. */
function send(port: number, sent: Hostile): Promise<[Hostile, string]> {
  const { promise, resolve } = Promise.withResolvers<[Hostile, string]>()
  let answer = ''
  const socket = connect(port, '127.0.0.1', () => socket.write(sent.bytes))
  const timer = setTimeout(() => socket.destroy(), sent.whole ? ANSWER_MS : LEAVE_MS)
  socket.setEncoding('latin1').on('data', (piece: string) => {
    answer += answer.length < 2_000 ? piece : ''
    // A stream of events goes on forever.
    if (answer.includes('text/event-stream')) socket.destroy()
  })
  socket.on('error', () => {})
  socket.once('close', () => {
    clearTimeout(timer)
    resolve([sent, answer])
  })
  return promise
}

const TEXTS = [
  '',
  ' ',
  'a',
  '0',
  '-1',
  '1',
  '9007199254740993',
  '99999999999999999999999',
  '1e308',
  'NaN',
  'null',
  'true',
  'infinity',
  '-infinity',
  '2030-01-01T00:00:00Z',
  '294277-01-01T00:00:00Z',
  '__proto__',
  'constructor',
  'toString',
  '../../etc/passwd',
  "'; drop table earshot.jobs; --",
  '\0',
  '\uD800',
  '\uFFFE',
  '😀'.repeat(50),
  'x'.repeat(5_000),
  '%00',
  '<!---->'.repeat(60),
  'a'.repeat(64),
  'speak',
  'transcribe',
  'whisper-1',
  'tts-1',
  '#1',
]
const NAMES = [
  'kind',
  'payload',
  'requires',
  'after',
  'run_at',
  'deadline',
  'priority',
  'class',
  'idempotency_key',
  'max_tries',
  'jobs',
  'ids',
  'status',
  'node',
  'older_s',
  'text',
  'media',
  'document_id',
  'messages',
  'model',
  'input',
  'voice',
  'response_format',
  'title',
  'language',
  'incarnation',
  'fraction',
  'role',
  'payload_schema',
  'reason',
  'dry_run',
  'limit',
  'q',
  'since',
  'before',
  '__proto__',
  'constructor',
]
const QUERIES = [
  'limit',
  'before',
  'status',
  'kind',
  'ids',
  'q',
  'since',
  'types',
  'format',
  'size',
]
const MORE_QUERIES = ['signature', 'expires', 'async', 'payload', 'corpus', 'nonsense']

function hostile(random: Random, routes: Route[]): Hostile {
  if (random.chance(0.04)) return { bytes: garbage(random), whole: false }
  const route = random.pick(routes)
  const method = random.chance(0.1)
    ? random.pick(['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'get', 'POST', 'PROPFIND'])
    : route.method
  const headers = headersOf(random)
  let body: Buffer = Buffer.alloc(0)
  if (method !== 'GET' || random.chance(0.05)) {
    const made = bodyOf(random, route.path)
    body = made.body
    headers.push(`content-type: ${random.chance(0.9) ? made.type : random.pick(TEXTS)}`)
  }
  const framing = frame(random, body)
  const head = `${method} ${target(random, route.path)} HTTP/1.1\r\n`
  const lines = [...headers, ...framing.headers, 'connection: close']
    // A line may hold what no header may; only what would end it early is left out.
    .map((line) => line.replace(/[\r\n]/g, ' '))
  return {
    bytes: Buffer.concat([Buffer.from(`${head}${lines.join('\r\n')}\r\n\r\n`), framing.body]),
    whole: framing.whole,
  }
}

function garbage(random: Random): Buffer {
  const bytes = Buffer.from(
    Array.from({ length: random.whole(1, 400) }, () => random.whole(0, 255)),
  )
  const start = random.pick([
    '',
    'GET / HTTP/1.1\r\n',
    'POST /v1/jobs HTTP/9.9\r\n',
    '\x16\x03\x01',
  ])
  return Buffer.concat([Buffer.from(start, 'latin1'), bytes, Buffer.from('\r\n\r\n')])
}

function target(random: Random, path: string): string {
  const filled = path.replace(/\{\w+\}/g, () =>
    random.chance(0.5)
      ? String(random.whole(0, 50))
      : random.chance(0.9)
        ? encodeURIComponent(random.pick(TEXTS).toWellFormed()).slice(0, 900)
        : random.pick(['%zz', '%', '..', '%2e%2e%2f', '%ff', '*', ';', '%00']),
  )
  const name = () => random.pick(random.chance(0.7) ? QUERIES : MORE_QUERIES)
  const queries = Array.from({ length: random.whole(0, 3) }, () => {
    const value = random.pick(TEXTS).toWellFormed()
    return `${name()}=${random.chance(0.95) ? encodeURIComponent(value).slice(0, 3_000) : '%zz'}`
  })
  const slashes = random.chance(0.05) ? `/${filled}/` : filled
  return queries.length === 0 ? slashes : `${slashes}?${queries.join('&')}`
}

function headersOf(random: Random): string[] {
  const headers = [
    `host: ${random.chance(0.95) ? 'localhost' : random.pick(['evil.example', 'a, b', '', '[', 'localhost:x'])}`,
  ]
  const odd = [
    'host: localhost',
    'origin: http://evil.example',
    'sec-fetch-site: cross-site',
    `authorization: Bearer ${random.whole(0, 1e9)}`,
    `range: bytes=${random.pick(TEXTS)}`,
    `last-event-id: ${random.pick(TEXTS)}`,
    'content-encoding: gzip',
    'expect: 100-continue',
    'expect: nonsense',
    'upgrade: websocket',
    `x-earshot-attempt: ${random.pick(TEXTS)}`,
    `x-earshot-fence: ${random.pick(TEXTS)}`,
    `accept: ${random.pick(TEXTS)}`,
    `x-long: ${'y'.repeat(random.whole(1, 20_000))}`,
    'if-none-match: *',
  ]
  while (random.chance(0.25)) headers.push(random.pick(odd))
  return headers
}

function bodyOf(random: Random, path: string): { body: Buffer; type: string } {
  const audio = path.startsWith('/v1/audio/trans')
  if (path === '/v1/media' || (!audio && random.chance(0.05)))
    return { body: garbage(random), type: 'application/octet-stream' }
  if (audio || random.chance(0.03))
    return { body: form(random), type: 'multipart/form-data; boundary=x' }
  return { body: json(random), type: 'application/json' }
}

function form(random: Random): Buffer {
  const parts = Array.from({ length: random.whole(0, 5) }, () => {
    const name = random.pick([
      'file',
      'model',
      'language',
      'stream',
      'prompt',
      ...NAMES.slice(0, 5),
    ])
    const file = random.chance(0.4) ? `; filename="${random.pick(TEXTS).slice(0, 200)}"` : ''
    const ends = random.pick(['', '[]', '[0]', '[__proto__]'])
    return `--x\r\ncontent-disposition: form-data; name="${name}${ends}"${file}\r\n\r\n${random.pick(TEXTS)}\r\n`
  })
  const end = random.chance(0.8) ? '--x--\r\n' : random.pick(['', '--x', '--y--\r\n'])
  return Buffer.from(parts.join('') + end)
}

function json(random: Random): Buffer {
  const sort = random.next()
  if (sort < 0.01) return Buffer.from('['.repeat(random.whole(1, 900_000)))
  if (sort < 0.02) return Buffer.from('{"a":'.repeat(random.whole(1, 150_000)))
  if (sort < 0.03) return Buffer.from(`[${'1,'.repeat(random.whole(1, 400_000))}1]`)
  if (sort < 0.04) return Buffer.from(`{"kind":"${'x'.repeat(random.whole(1, 900_000))}"}`)
  if (sort < 0.06) return Buffer.from([0x22, 0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0x22])
  const text = JSON.stringify(random.chance(0.6) ? likely(random) : value(random, 4)) ?? ''
  if (sort < 0.85) return Buffer.from(text)
  const at = random.whole(0, text.length)
  return Buffer.from(text.slice(0, at) + random.pick(TEXTS) + text.slice(at + random.whole(0, 3)))
}

/** Nearly what a route takes. */
function likely(random: Random): unknown {
  const v = () => value(random, 2)
  const right = random.pick([
    { kind: 'speak', payload: { text: 'hello' } },
    { kind: 'embed', payload: { document_id: 1 } },
    {
      jobs: [
        { kind: 'speak', payload: { text: 'a' } },
        { kind: 'speak', payload: { text: 'b' } },
      ],
    },
    { ids: [1, 2], dry_run: true },
    { model: 'tts-1', input: 'a', voice: 'alloy' },
    { model: 'text-embedding-3-small', input: ['a'] },
    { model: 'gpt-4o', messages: [{ role: 'user', content: 'a' }] },
    { media: 'a'.repeat(64), title: 'x', kind: 'audio' },
    { node: 'a', incarnation: 1, jobs: [{ id: 1, fraction: 0.5 }] },
    { kind: 'mine', role: 'mine', payload_schema: { type: 'object' } },
  ])
  return { ...right, ...Object.fromEntries([[random.pick(NAMES), v()]]) }
}

function value(random: Random, levels: number): unknown {
  const sort = random.whole(0, levels > 0 ? 8 : 5)
  if (sort <= 2) return random.pick(TEXTS)
  if (sort === 3) return random.pick([0, -1, 1, 0.5, 1e308, -1e308, 2 ** 53, 5e-324])
  if (sort === 4) return random.pick([null, true, false])
  if (sort === 5) return random.whole(-1_000_000, 1_000_000)
  const length = random.whole(0, 4)
  if (sort === 6) return Array.from({ length }, () => value(random, levels - 1))
  return Object.fromEntries(
    Array.from({ length }, () => [
      random.chance(0.6) ? random.pick(NAMES) : random.pick(TEXTS),
      value(random, levels - 1),
    ]),
  )
}

function frame(random: Random, body: Buffer): { headers: string[]; body: Buffer; whole: boolean } {
  const sort = random.next()
  const length = (bytes: number) => [`content-length: ${bytes}`]
  if (sort < 0.8) return { headers: length(body.length), body, whole: true }
  if (sort < 0.9) {
    const size = body.length.toString(16)
    const end = Buffer.from('\r\n0\r\n\r\n')
    return body.length === 0
      ? { headers: length(0), body, whole: true }
      : {
          headers: ['transfer-encoding: chunked'],
          body: Buffer.concat([Buffer.from(`${size}\r\n`), body, end]),
          whole: true,
        }
  }
  if (sort < 0.94) return { headers: length(body.length + 10), body, whole: false }
  if (sort < 0.97)
    return { headers: ['transfer-encoding: chunked'], body: Buffer.from('zz\r\n'), whole: false }
  return {
    headers: [...length(body.length), 'transfer-encoding: chunked'],
    body,
    whole: false,
  }
}
