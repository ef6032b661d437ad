import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import Fastify from 'fastify'
import { expect, test } from 'vitest'
import { createSse } from '../src/http/openai/sse.ts'

test('what is sent to a client that reads nothing and then leaves ends at once', async () => {
  const app = Fastify()
  const full = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  app.get('/', async (_, reply) => {
    const sse = createSse(reply)
    // More than any buffer on the way takes.
    for (let i = 0; i < 50 && !reply.raw.writableNeedDrain; i += 1) {
      const sent = sse.send('x'.repeat(2 ** 20))
      if (reply.raw.writableNeedDrain) full.resolve()
      await Promise.race([sent, once(reply.raw, 'close')])
      if (reply.raw.destroyed) {
        await sent
        break
      }
    }
    done.resolve()
    return reply
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  socket.pause().write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await full.promise
  socket.destroy()
  await done.promise
  await app.close()
  expect(app.server.listening).toBe(false)
}, 30_000)
