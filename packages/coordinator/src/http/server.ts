import { EarshotError } from '@earshot/contract'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { AddressInfo, Socket } from 'node:net'
import { createMetrics } from '../metrics/metrics.ts'
import { urlOf } from './address.ts'
import { artifactRoutes } from './artifacts.ts'
import type { Context, HttpParts, HttpSettings } from './context.ts'
import { documentRoutes } from './documents.ts'
import { answerBroken, answerErrors, toEarshotError } from './errors.ts'
import { limitBodyTimes } from './body-times.ts'
import { gateDatabase } from './database-gate.ts'
import { createEventStream } from '../events/event-stream.ts'
import { eventRoutes } from './events.ts'
import { checkKeyPresent, guard } from './guard.ts'
import { healthRoutes } from './health.ts'
import { jobActionRoutes } from './job-actions.ts'
import { jobRoutes } from './jobs.ts'
import { readJsonBodies } from './json-body.ts'
import { AJV_OPTIONS } from './json-schema.ts'
import { kindRoutes } from './kinds.ts'
import { laneRoutes } from './lanes.ts'
import { mediaRoutes } from './media.ts'
import { metricsRoutes } from './metrics.ts'
import { nodeRoutes } from './nodes.ts'
import { pruneRoutes } from './prune.ts'
import { OPENAI_API_DEFAULTS } from './openai/api.ts'
import { openAiRoutes } from './openai/routes.ts'
import { createUploads } from './openai/uploads.ts'
import { openApiRoutes } from './openapi.ts'
import { createProgressBoard } from './progress-board.ts'
import { progressRoutes, readProgress } from './progress.ts'
import { searchRoutes } from './search.ts'
import { streamRoutes } from './stream.ts'
import { createAwaitedJobs } from '../jobs/awaited-jobs.ts'
import { whyRoutes } from './why.ts'

export type HttpService = {
  /** Once started: every route, such as `GET /v1/jobs/:id`. */
  readonly routes: readonly string[]
  /**
   * Opens the port. `url` is where others reach this coordinator.
   *
   * @throws EarshotError EARSHOT_KEY_NEEDED, or EARSHOT_BAD_CONFIG when the port or address cannot
   *   be had
   */
  start(): Promise<{ url: string; port: number }>
  /**
   * Takes no more requests, ends event streams (their readers resume elsewhere) and waits for the
   * rest; `hurry` cuts it.
   */
  stop(hurry?: AbortSignal): Promise<void>
  /** The database said that something changed: readers of events look at once. */
  changed(): void
  /** A worker told, through Redis, how far its jobs are. */
  progressed(message: string): void
}

/** Bodies of JSON, except where a route says otherwise. */
const BODY_LIMIT = 2 ** 20
const SWEEP_MS = 50
const EMBED_WAIT_MS = 1_500

/**
 * The HTTP service of a coordinator: the API of docs/http.md.
 *
 * @example
 * const http = createHttp({ db, coordinatorId: 'box-1', settings: { host: '127.0.0.1', port: 7700 }, media, log, version: '0.1.0' })
 * const { url } = await http.start()
 */
export function createHttp(parts: HttpParts): HttpService {
  const { settings, log } = parts
  const app = createApp()
  let url = settings.url ?? urlOf(settings.host, settings.port)
  const events = createEventStream(parts.db, log)
  const progress = createProgressBoard()
  const sockets = socketsOf(app)
  const metrics = parts.metrics ?? createMetrics(parts.db)
  const openaiApi = parts.openaiApi ?? OPENAI_API_DEFAULTS
  const gated = gateDatabase(parts.db, parts.limits?.queries)
  const awaitedJobs = createAwaitedJobs({
    db: parts.db,
    submitBy: gated.pool,
    waitMs: openaiApi.waitS * 1000,
    url: () => url,
    log,
  })
  const uploads = createUploads({
    db: parts.db.pool,
    store: parts.uploads,
    holder: parts.coordinatorId,
  })
  const context: Context = {
    ...parts,
    db: gated,
    ungated: parts.db.pool,
    metrics,
    limits: { mediaBytes: Infinity, ...parts.limits },
    embedWaitMs: parts.embedWaitMs ?? EMBED_WAIT_MS,
    openaiApi,
    events,
    progress,
    uploads,
    awaitedJobs,
    url: () => url,
  }

  const routes: string[] = []
  app.addHook(
    'onRoute',
    ({ method, url: path }) =>
      void routes.push(
        ...[method]
          .flat()
          .filter((one) => one !== 'HEAD')
          .map((one) => `${one} ${path}`),
      ),
  )
  const { onAnswer } = parts
  if (onAnswer !== undefined)
    app.addHook('preSerialization', async (request, reply, answer) => {
      onAnswer(`${request.method} ${request.routeOptions.url}`, reply.statusCode, answer)
      return answer
    })
  limitBodyTimes(app, parts.limits?.bodyTimes)
  guard(app, settings)
  readJsonBodies(app)
  answerErrors(app, log)
  for (const register of [
    healthRoutes,
    jobRoutes,
    jobActionRoutes,
    eventRoutes,
    progressRoutes,
    mediaRoutes,
    artifactRoutes,
    documentRoutes,
    searchRoutes,
    nodeRoutes,
    pruneRoutes,
    laneRoutes,
    metricsRoutes,
    whyRoutes,
    kindRoutes,
    streamRoutes,
    openAiRoutes,
    openApiRoutes,
  ])
    register(app, context)

  return {
    routes,
    async start() {
      checkKeyPresent(settings)
      await metrics.open()
      await uploads.open()
      awaitedJobs.start()
      await app.listen({ host: settings.host, port: settings.port }).catch((error: unknown) => {
        throw cannotListen(error, settings)
      })
      const { port } = app.server.address() as AddressInfo
      url = settings.url ?? urlOf(settings.host, port)
      return { url, port }
    },
    async stop(hurry) {
      events.stop()
      const cut = (): void => app.server.closeAllConnections()
      if (hurry?.aborted) cut()
      hurry?.addEventListener('abort', cut, { once: true })
      // A connection whose last answer ends only now would be kept for the client's next request,
      // and hold up the end. So would one that was opened ahead of a request that never came, as
      // browsers and fetch do it: to Node it is not idle.
      const sweeping = setInterval(() => {
        app.server.closeIdleConnections()
        for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
      }, SWEEP_MS)
      try {
        await Promise.all([app.close(), awaitedJobs.stop(hurry)])
      } finally {
        clearInterval(sweeping)
        hurry?.removeEventListener('abort', cut)
      }
    },
    changed() {
      events.changed()
      awaitedJobs.look()
    },
    progressed: (message) => progress.report(readProgress(message)),
  }
}

function createApp(): FastifyInstance {
  return Fastify({
    logger: false,
    ajv: { customOptions: AJV_OPTIONS },
    bodyLimit: BODY_LIMIT,
    forceCloseConnections: 'idle',
    // Clients join addresses with a slash too many.
    routerOptions: {
      maxParamLength: 1_000,
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
    },
    clientErrorHandler: answerBroken,
    // What fails before there is a route, such as an address with a broken escape.
    frameworkErrors: (error, _request, reply: FastifyReply) => {
      const answer = toEarshotError(error)
      return reply.code(answer.status).send(answer.toJSON())
    },
  })
}

/** The connections that are open. */
function socketsOf(app: FastifyInstance): Set<Socket> {
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return sockets
}

function cannotListen(error: unknown, { host, port }: HttpSettings): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const bad = (message: string, field: string, hint: string): EarshotError =>
    new EarshotError('EARSHOT_BAD_CONFIG', message, { field, hint, cause: error })
  if (code === 'EADDRINUSE') {
    return bad(
      `Port ${port} of ${host} is taken by another program, perhaps by another Earshot.`,
      'EARSHOT_PORT',
      'Stop the other one, or set EARSHOT_PORT to a free port.',
    )
  }
  if (code === 'EACCES')
    return bad(
      `This user may not open port ${port}.`,
      'EARSHOT_PORT',
      'Set EARSHOT_PORT to a port above 1023.',
    )
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return bad(
      `This machine has no address ${host}.`,
      'EARSHOT_HOST',
      'Set EARSHOT_HOST to an address of this machine, such as 127.0.0.1.',
    )
  return error
}
