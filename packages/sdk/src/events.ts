import type { EventView, ProgressEvent } from '@earshot/contract'
import { type Http, isPassing } from './http.ts'
import { backoff, pause } from './pause.ts'
import { createEventReader } from './server-sent-events.ts'

export type EventOptions = {
  /**
   * The id of the last event already seen, or '0' for everything still kept; without it the stream
   * starts now.
   */
  since?: string
  /** Only these types, such as 'job.completed'. */
  types?: readonly string[]
  /** Also the fleeting job.progress events. */
  progress?: boolean
  signal?: AbortSignal
}

/**
 * The server sends a comment every 15 s; three missed ones mean a dead connection that TCP has not
 * noticed.
 */
const SILENCE_MS = 45_000

/**
 * Events as they happen, in the order they were committed: none skipped and none twice, also across
 * cut connections, which it mends by itself. Ends when `signal` aborts or the loop is left.
 *
 * @throws EARSHOT_UNREACHABLE when the first connection fails; later ones are tried again forever.
 * @example
 * for await (const event of subscribe(http, { types: ['document.ready'] })) console.log(event.document_id)
 */
export function subscribe(
  http: Http,
  options: EventOptions = {},
): AsyncIterableIterator<EventView | ProgressEvent> {
  const stopped = new AbortController()
  const stop = (): void => stopped.abort()
  options.signal?.addEventListener('abort', stop, { once: true })
  if (options.signal?.aborted) stop()
  const events = follow(http, options, stopped.signal)
  const iterator: AsyncIterableIterator<EventView | ProgressEvent> = {
    next: () => events.next(),
    // A generator that is waiting takes return() only when it wakes: so wake it first.
    return: async () => {
      stop()
      options.signal?.removeEventListener('abort', stop)
      return events.return(undefined)
    },
    [Symbol.asyncIterator]: () => iterator,
  }
  return iterator
}

async function* follow(
  http: Http,
  options: EventOptions,
  signal: AbortSignal,
): AsyncGenerator<EventView | ProgressEvent, undefined> {
  let position = options.since
  let connected = false
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      for await (const item of connect(http, options, position, signal)) {
        connected = true
        failures = 0
        if (item.position !== undefined) position = item.position
        if (item.event !== undefined) yield item.event
      }
    } catch (error) {
      if (signal.aborted) return
      if (!connected || !isPassing(error)) throw error
    }
    await pause(backoff(failures), signal).catch(() => undefined)
  }
}

type Item = { position?: string; event?: EventView | ProgressEvent }

/**
 * One connection: its positions and events until it ends. Ends quietly when cut; throws when it
 * cannot be made.
 */
async function* connect(
  http: Http,
  options: EventOptions,
  position: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<Item> {
  const cut = new AbortController()
  const end = (): void => cut.abort()
  signal.addEventListener('abort', end, { once: true })
  try {
    const response = await http.send('/v1/events', {
      query: { types: options.types, progress: options.progress ? 1 : undefined },
      headers: {
        accept: 'text/event-stream',
        ...(position === undefined ? {} : { 'last-event-id': position }),
      },
      signal: AbortSignal.any([signal, cut.signal]),
    })
    // Where the stream starts, so that a cut before the first event resumes from there and not from
    // "now".
    const start = response.headers.get('earshot-position')
    yield start === null ? {} : { position: start }
    if (response.body !== null) yield* read(response.body, end)
  } finally {
    signal.removeEventListener('abort', end)
    end()
  }
}

async function* read(body: ReadableStream<Uint8Array>, cut: () => void): AsyncGenerator<Item> {
  const eventsIn = createEventReader()
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader()
  let timer = setTimeout(cut, SILENCE_MS)
  try {
    for (;;) {
      // A cut connection rejects here: that is an end like any other, and the caller resumes.
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
      clearTimeout(timer)
      if (done || value === undefined) return
      for (const { id, data } of eventsIn(value))
        yield {
          ...(id ? { position: id } : {}),
          event: JSON.parse(data) as EventView | ProgressEvent,
        }
      timer = setTimeout(cut, SILENCE_MS)
    }
  } finally {
    clearTimeout(timer)
  }
}
