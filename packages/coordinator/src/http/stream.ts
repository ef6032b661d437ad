import { EarshotError, parse } from '@earshot/contract'
import { linesOf } from '@earshot/shared/lines'
import type { FastifyInstance } from 'fastify'
import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { STREAM_TIMES } from './body-times.ts'
import type { Context } from './context.ts'
import { idOf } from './input.ts'
import type { Hearing } from '../jobs/awaited-jobs.ts'

/** Whether PostgreSQL takes it for a bigint. */
const isBigint = (text: string): boolean =>
  /^-?\d{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text)

const Headers = z.object({
  'x-earshot-attempt': z
    .string()
    .regex(/^[1-9]\d{0,8}$/, 'expected the attempt, a whole number above 0')
    .transform(Number),
  'x-earshot-fence': z
    .string()
    .refine(isBigint, 'expected the fence of the job, as its holder got it'),
})
const Last = z.object({
  done: z.literal(true),
  output: z.record(z.string(), z.unknown()).optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
})

/**
 * POST /v1/jobs/:id/stream: a worker sends the answer of a job as it comes, a JSON object a line,
 * the last one with `done`. Nothing is stored. When no one waits for it any more the connection is
 * cut: the job is cancelled then.
 */
export function streamRoutes(app: FastifyInstance, { awaitedJobs }: Context): void {
  // A scope of its own: here the body is a stream that no one reads beforehand.
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
    scope.post('/v1/jobs/:id/stream', { config: { bodyTimes: STREAM_TIMES } }, async (request) => {
      const { 'x-earshot-attempt': attempt, 'x-earshot-fence': fence } = parse(
        Headers,
        request.headers,
      )
      const hearing = await awaitedJobs.hearing(idOf(request.params), { attempt, fence })
      const cut = (): void => void request.raw.destroy()
      if (hearing.over.aborted) cut()
      hearing.over.addEventListener('abort', cut, { once: true })
      try {
        return {
          heard: await listen(request.raw, hearing, () =>
            hearing.over.removeEventListener('abort', cut),
          ),
        }
      } finally {
        hearing.over.removeEventListener('abort', cut)
      }
    })
  })
}

/**
 * Passes on what comes; answers how many pieces that were. `onLast` is called before the end is
 * told, so that the answer to the worker is not cut.
 */
async function listen(
  request: IncomingMessage,
  hearing: Hearing,
  onLast: () => void,
): Promise<number> {
  let heard = 0
  let last: z.output<typeof Last> | undefined
  try {
    for await (const line of linesOf(request.iterator({ destroyOnReturn: false }))) {
      if (line.trim() === '') continue
      const said: unknown = JSON.parse(line)
      if (!isObject(said))
        throw new EarshotError('EARSHOT_BAD_REQUEST', 'A line of the stream is no JSON object.')
      if (said.done === true) {
        last = Last.parse(said)
        break
      }
      await hearing.say(said)
      heard++
    }
  } catch (error) {
    hearing.broken()
    if (error instanceof EarshotError) throw error
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      'The stream broke off, or is not what a stream should be.',
      { cause: error },
    )
  } finally {
    request.resume()
  }
  onLast()
  if (last === undefined) hearing.broken()
  else hearing.end(last)
  return heard
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
