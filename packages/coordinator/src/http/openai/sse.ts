import { once } from 'node:events'
import type { FastifyReply } from 'fastify'
import { toEarshotError } from '../errors.ts'
import { toOpenAiError } from './errors.ts'

/** A client that takes nothing for so long is cut off. */
const STUCK_MS = 60_000
/** Proxies give up on connections over which nothing comes. */
const ALIVE_MS = 15_000

export type Sse = {
  readonly begun: boolean
  /**
   * Sends one event, its name too where it has one; the first one begins the answer. Waits while
   * the client is slow.
   */
  send(data: object | string, event?: string): Promise<void>
  end(): void
}

/** Answers with server-sent events. Headers that were set before the first one are sent. */
export function createSse(reply: FastifyReply): Sse {
  const response = reply.raw
  let begun = false
  let alive: NodeJS.Timeout | undefined
  const gone = new AbortController()

  function begin(): void {
    begun = true
    reply.hijack()
    const headers = Object.entries(reply.getHeaders()).filter(
      ([, value]) => value !== undefined,
    ) as [string, string | number | string[]][]
    response.writeHead(200, {
      ...Object.fromEntries(headers),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    alive = setInterval(() => response.write(': still here\n\n'), ALIVE_MS)
    response.once('close', () => {
      clearInterval(alive)
      gone.abort()
    })
  }

  return {
    get begun() {
      return begun
    },
    async send(data, event) {
      if (!begun) begin()
      if (response.destroyed) return
      const text = typeof data === 'string' ? data : JSON.stringify(data)
      if (response.write(`${event === undefined ? '' : `event: ${event}\n`}data: ${text}\n\n`))
        return
      const over = AbortSignal.any([AbortSignal.timeout(STUCK_MS), gone.signal])
      await once(response, 'drain', { signal: over }).catch(() => response.destroy())
    },
    end() {
      clearInterval(alive)
      response.end()
    },
  }
}

/**
 * Answers with what `work` sends and the mark of the end. Throws what goes wrong before the first
 * event; later it is told in an event with `error`, which clients of OpenAI's protocol take for a
 * failure.
 */
export async function answerBySse(
  reply: FastifyReply,
  sse: Sse,
  work: () => Promise<void>,
): Promise<FastifyReply> {
  try {
    await work()
    await sse.send('[DONE]')
  } catch (error) {
    if (!sse.begun) throw error
    await sse.send(toOpenAiError(toEarshotError(error)))
  }
  sse.end()
  return reply
}
