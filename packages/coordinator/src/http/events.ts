import type { ProgressEvent } from '@earshot/contract'
import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import type { Context } from './context.ts'
import { listOf, parse } from './input.ts'
import { type Position, type StoredEvent, parsePosition, positionText } from '../queries/events.ts'

export const EventQuery = z
  .object({
    since: z.string().optional(),
    types: listOf(
      z.string().regex(/^[a-z]+\.[a-z]+$/, 'expected names such as job.completed'),
      50,
    ).optional(),
    progress: z.enum(['0', '1', 'true', 'false']).optional(),
  })
  .strict()

const HEARTBEAT_MS = 15_000
/**
 * A follower that takes nothing for so long, in ms, is cut off; it can resume after the last event
 * that it has.
 */
const STUCK_MS = 30_000
/** Pages written out for those who want all of them. */
const texts = new WeakMap<readonly StoredEvent[], string>()

/** GET /v1/events: what happens, as server-sent events, resumable with Last-Event-ID or ?since=. */
export function eventRoutes(
  app: FastifyInstance,
  { events, progress, limits, log }: Context,
): void {
  const stuckMs = limits.stuckMs ?? STUCK_MS
  app.get('/v1/events', async (request, reply) => {
    const query = parse(EventQuery, request.query)
    const from = await events.start(askedPosition(request.headers['last-event-id'], query.since))
    reply.hijack()
    const response = reply.raw
    const gone = new AbortController()
    response.on('close', () => gone.abort())
    begin(response, from)
    const heartbeat = setInterval(
      () => response.writableNeedDrain || response.write(': still here\n\n'),
      HEARTBEAT_MS,
    )
    const wantsProgress = query.progress === '1' || query.progress === 'true'
    const unhear = wantsProgress
      ? progress.listen((news) => sendProgress(response, { type: 'job.progress', ...news }))
      : undefined
    try {
      for await (const page of events.follow(from, gone.signal)) {
        if (await send(response, textOf(page, query.types), stuckMs, gone.signal)) continue
        log.warn('A follower of the events takes nothing and is cut off; it can resume')
        return void response.destroy()
      }
    } catch (error) {
      // The follower resumes by itself; what it has not seen is still in the table.
      log.warn({ err: error }, 'a follower of the events was cut off')
      response.destroy()
    } finally {
      clearInterval(heartbeat)
      unhear?.()
      response.end()
    }
  })
}

/** A browser that reconnects sends the header: it is later than the address it started with. */
function askedPosition(
  header: string | string[] | undefined,
  since: string | undefined,
): Position | undefined {
  if (typeof header === 'string' && header !== '') return parsePosition(header, 'last-event-id')
  return since === undefined ? undefined : parsePosition(since, 'since')
}

function begin(response: ServerResponse, from: Position): void {
  const position = positionText(from)
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    'earshot-position': position,
    connection: 'close',
  })
  // An id without data is remembered and not dispatched: a cut before the first event then resumes
  // from here too.
  response.write(`retry: 1000\nid: ${position}\n\n`)
}

function textOf(page: readonly StoredEvent[], types: string[] | undefined): string {
  if (types !== undefined)
    return page
      .filter((event) => types.includes(event.type))
      .map((event) => event.frame)
      .join('')
  const text = texts.get(page) ?? page.map((event) => event.frame).join('')
  texts.set(page, text)
  return text
}

/**
 * Writes no more before the follower has taken this, so that one that is slow costs a page and not
 * all that happens. False when it takes nothing.
 */
async function send(
  response: ServerResponse,
  text: string,
  stuckMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  if (text === '' || response.write(text)) return true
  const tooLong = AbortSignal.timeout(stuckMs)
  return once(response, 'drain', { signal: AbortSignal.any([signal, tooLong]) }).then(
    () => true,
    () => signal.aborted,
  )
}

/** Fleeting: anyone who is behind gets the next one. */
function sendProgress(response: ServerResponse, event: ProgressEvent): void {
  if (!response.writableNeedDrain)
    response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
}
