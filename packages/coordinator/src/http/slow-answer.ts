import type { FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { toEarshotError } from './errors.ts'

/** Well below the five minutes after which fetch takes a silent answer for dead. */
const ALIVE_MS = 15_000

/**
 * Answers with JSON that may take hours: what is ready within `aliveMs` is answered as always;
 * otherwise the answer begins with status 200 and a space every `aliveMs`, which JSON allows in
 * front, and what fails then stands in the body, as `{"error": …}`.
 *
 * @param work gets a signal that fires when anyone who asked has gone
 */
export async function answerSlowly(
  reply: FastifyReply,
  work: (signal: AbortSignal) => Promise<object>,
  aliveMs = ALIVE_MS,
): Promise<unknown> {
  const gone = new AbortController()
  reply.raw.on('close', () => gone.abort())
  const answer = work(gone.signal)
  const text = answer.then(
    (value) => JSON.stringify(value),
    (error: unknown) => JSON.stringify(toEarshotError(error).toJSON()),
  )
  const soon = await Promise.race([text, sleep(aliveMs, undefined, { ref: false })])
  if (soon !== undefined) return answer
  return reply.type('application/json; charset=utf-8').send(Readable.from(spaced(text, aliveMs)))
}

async function* spaced(text: Promise<string>, aliveMs: number): AsyncGenerator<string> {
  for (let piece = ' '; ; piece = await Promise.race([text, sleep(aliveMs, ' ', { ref: false })])) {
    yield piece
    if (piece !== ' ') return
  }
}
