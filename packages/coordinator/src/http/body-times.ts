import { EarshotError } from '@earshot/contract'
import type { FastifyInstance } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { monotonicMs } from '@earshot/db/monotonic'
import { rawAnswer } from './errors.ts'

/** Milliseconds: how long a body may send nothing, and how long it may take in all. */
export type BodyTimes = { silenceMs: number; totalMs: number }

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Of this route's bodies, where they are not those of all. */
    bodyTimes?: BodyTimes
  }
}

const BODY_TIMES: BodyTimes = { silenceMs: 20_000, totalMs: 120_000 }
/** Of files, which may take hours. */
export const FILE_TIMES: BodyTimes = { silenceMs: 120_000, totalMs: Infinity }
/** Of what a worker sends as it makes it: the job has limits of its own. */
export const STREAM_TIMES: BodyTimes = { silenceMs: Infinity, totalMs: Infinity }
const LOOK_MS = 1_000

type Arriving = {
  response: ServerResponse
  times: BodyTimes
  since: number
  bytes: number
  heardAt: number
}

/**
 * Ends requests whose bodies do not arrive: with status 408, or by closing the connection where the
 * answer was given already. Node's own limit is one for all routes, and would end long uploads.
 *
 * @param times of the routes that say nothing else, and of all once they have answered
 */
export function limitBodyTimes(app: FastifyInstance, times: BodyTimes = BODY_TIMES): void {
  const arriving = new Map<IncomingMessage, Arriving>()
  app.server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers
    if (length === '0' && coding === undefined) return
    const now = monotonicMs()
    const { bytesRead: bytes } = request.socket
    arriving.set(request, { response, times, since: now, bytes, heardAt: now })
    request.once('close', () => arriving.delete(request))
  })
  app.addHook('onRequest', async ({ raw, routeOptions }) => {
    const one = arriving.get(raw)
    if (one !== undefined) one.times = routeOptions.config.bodyTimes ?? times
  })
  const looking = setInterval(
    () => {
      for (const [request, one] of arriving) look(request, one)
    },
    Math.min(LOOK_MS, times.silenceMs / 2),
  )
  looking.unref()
  app.addHook('onClose', async () => clearInterval(looking))

  function look(request: IncomingMessage, one: Arriving): void {
    if (request.complete) return void arriving.delete(request)
    const now = monotonicMs()
    const { socket } = request
    if (socket.bytesRead !== one.bytes) {
      one.bytes = socket.bytesRead
      one.heardAt = now
    }
    const { silenceMs, totalMs } = one.response.writableEnded ? times : one.times
    if (now - one.heardAt <= silenceMs && now - one.since <= totalMs) return
    arriving.delete(request)
    if (!one.response.headersSent) socket.write(rawAnswer(late()))
    socket.destroySoon()
  }
}

const late = (): EarshotError =>
  new EarshotError('EARSHOT_BODY_LATE', 'The body of the request did not arrive in time.', {
    hint: 'Send it again.',
  })
