import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { Database } from '@earshot/db/database'
import { type Assignment, type Outcome } from '@earshot/db/functions/jobs'
import { listCoordinators } from '@earshot/db/functions/documents'
import type { Log } from '@earshot/shared/log'
import { monotonicMs } from '@earshot/db/monotonic'

/** What hears a job's stream and reads no more is not waited for. */
const MOST_UNREAD = 16 * 2 ** 20
/** How long what is known of coordinators is believed. */
const TRUST_MS = 10_000
/** A coordinator says every 5 s that it is there. */
const GONE_S = 60
/** How long the end of a stream may take to be taken in. */
const END_MS = 5_000

/**
 * A job's own stream to the coordinator that asked for it. Nothing of it is ever stored, and its
 * failure never fails the job.
 */
export type JobStream = {
  /** Sends one piece of output, as it is made. */
  emit(delta: object): void
  /**
   * The last line: `{"done":true,"output":…}`, or `{"done":true,"error":{code,message}}` when
   * something was sent before. Resolves when it was taken in, or cannot be.
   */
  end(outcome: Outcome): Promise<void>
  /** Breaks it off: the job is no longer ours, or goes back. */
  cut(): void
}

/** That of jobs which no one hears. */
export const NO_STREAM: JobStream = { emit: () => {}, end: async () => {}, cut: () => {} }

/**
 * Streams of jobs whose payload says where to (`reply_to`, an address of a coordinator of this
 * mesh; no other is ever spoken to, since the mesh key goes along). One request a job: POST
 * /v1/jobs/:id/stream with a line of JSON for each piece, begun with the first.
 *
 * @example
 * const stream = createStreams({ db, key, node, log }).open(job)
 * stream.emit({ content: 'Hel' })
 * await stream.end({ output })
 */
export function createStreams({
  db,
  key,
  node,
  log,
}: {
  db: Database
  key: string | null
  node: { id: string; incarnation: number }
  log: Log
}): { open(job: Assignment): JobStream } {
  let known = { origins: new Set<string>(), at: -Infinity }

  /**
   * Asked again now and then: anyone who gets the address of a coordinator that is gone must not
   * get the key.
   */
  async function isCoordinator(origin: string): Promise<boolean> {
    if (known.origins.has(origin) && monotonicMs() - known.at < TRUST_MS) return true
    const there = (await listCoordinators(db.pool)).filter(({ seen_s }) => seen_s < GONE_S)
    known = {
      origins: new Set(
        there.flatMap(({ url }) => (URL.canParse(url) ? [new URL(url).origin] : [])),
      ),
      at: monotonicMs(),
    }
    return known.origins.has(origin)
  }

  return {
    open(job) {
      const { reply_to: to } = job.payload
      if (typeof to !== 'string' || !URL.canParse(to)) return NO_STREAM
      const url = new URL(`/v1/jobs/${job.id}/stream`, to)
      const headers = {
        'content-type': 'application/x-ndjson',
        'x-earshot-attempt': String(job.attempt),
        'x-earshot-fence': job.fence,
        'x-earshot-node': encodeURIComponent(node.id),
        'x-earshot-incarnation': String(node.incarnation),
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      }
      // Asked while the engine works: the first word must not wait for it.
      const mayHear = isCoordinator(url.origin)
      mayHear.catch(() => {})
      return createStream({
        open: async () => ((await mayHear) ? request(url, headers) : undefined),
        log: log.child({ job: job.id, to: url.origin }),
      })
    },
  }
}

function request(url: URL, headers: http.OutgoingHttpHeaders): http.ClientRequest {
  const made = (url.protocol === 'https:' ? https : http).request(url, { method: 'POST', headers })
  made.setNoDelay(true)
  // However soon it breaks off, someone listens; who uses it is told as well.
  made.on('error', () => {})
  made.flushHeaders()
  return made
}

function createStream({
  open,
  log,
}: {
  open: () => Promise<http.ClientRequest | undefined>
  log: Log
}): JobStream {
  let state: 'new' | 'opening' | 'open' | 'over' = 'new'
  /** Lines that were written before the request was there. */
  let waiting: string[] = []
  let out: http.ClientRequest | undefined
  let answered: Promise<unknown> = Promise.resolve()
  let ready: Promise<void> = Promise.resolve()

  function over(reason: unknown): void {
    if (state === 'over') return
    state = 'over'
    waiting = []
    out?.destroy()
    log.debug({ err: reason }, 'Nobody hears the stream of this job')
  }

  async function begin(): Promise<void> {
    state = 'opening'
    try {
      out = await open()
    } catch (err) {
      return over(err)
    }
    if (out === undefined) return over(new Error('its address is no coordinator of this mesh'))
    if (state !== 'opening') return void out.destroy()
    const ended = Promise.withResolvers<void>()
    answered = ended.promise
    out.on('error', (err) => {
      ended.resolve()
      over(err)
    })
    out.on('response', (response) => {
      response.resume()
      response.on('close', ended.resolve)
      // An answer before the end is a refusal: a stale attempt, or a client that went away.
      if (response.statusCode! >= 300) over(new Error(`it was refused with ${response.statusCode}`))
    })
    out.on('close', ended.resolve)
    state = 'open'
    for (const line of waiting.splice(0)) out.write(line)
  }

  function write(line: object): void {
    if (state === 'over') return
    const text = `${JSON.stringify(line)}\n`
    if (state !== 'open') waiting.push(text)
    else if (out!.writableLength > MOST_UNREAD) over(new Error('it is not read'))
    else out!.write(text)
    if (state === 'new') ready = begin()
  }

  return {
    emit: write,
    async end(outcome) {
      // What failed before anything was sent may well succeed elsewhere.
      if (state === 'over' || (state === 'new' && 'error' in outcome)) return
      write({
        done: true,
        ...('error' in outcome
          ? { error: { code: outcome.error.code, message: outcome.error.message } }
          : { output: outcome.output }),
      })
      await ready
      if (state !== 'open' || out === undefined) return
      out.end()
      const late = AbortSignal.timeout(END_MS)
      await Promise.race([answered, once(late, 'abort')])
      if (late.aborted) over(new Error('its end was not taken in'))
      state = 'over'
    },
    cut: () => over(new Error('the job ended here')),
  }
}
