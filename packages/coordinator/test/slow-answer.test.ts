import { EarshotError } from '@earshot/contract'
import Fastify from 'fastify'
import { expect, test } from 'vitest'
import { answerSlowly } from '../src/http/slow-answer.ts'

/** A service whose only answer takes as long as `work`; a space goes out every 5 ms. */
async function serving(work: (signal: AbortSignal) => Promise<object>) {
  const app = Fastify({ forceCloseConnections: true })
  app.get('/', (_request, reply) => answerSlowly(reply, work, 5))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { url, [Symbol.asyncDispose]: () => app.close() }
}

test('what takes long is kept alive with spaces, and is still JSON', async () => {
  const work = Promise.withResolvers<object>()
  await using service = await serving(() => work.promise)
  const answer = await fetch(service.url)
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    text += value
    if (text.length === 3) work.resolve({ unchanged: true })
  }
  expect(text).toMatch(/^ {3,}\{/)
  expect(JSON.parse(text)).toEqual({ unchanged: true })
})

test('what fails late says so in the body', async () => {
  const work = Promise.withResolvers<object>()
  await using service = await serving(() => work.promise)
  const answer = await fetch(service.url)
  work.reject(new EarshotError('EARSHOT_MEDIA_GONE', 'It is gone.'))
  expect(await answer.json()).toEqual({
    error: { code: 'EARSHOT_MEDIA_GONE', message: 'It is gone.' },
  })
})

test('whoever leaves stops the work', async () => {
  const stopped = Promise.withResolvers<void>()
  await using service = await serving(
    (signal) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          stopped.resolve()
          resolve({})
        }),
      ),
  )
  const leaving = new AbortController()
  await fetch(service.url, { signal: leaving.signal })
  leaving.abort()
  await stopped.promise
})
