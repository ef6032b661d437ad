import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One request as it arrived, and how it went on. */
export type Asked = {
  method: string
  path: string
  headers: IncomingMessage['headers']
  body: Buffer
  json(): Record<string, unknown>
  /** Resolves when its connection is gone. */ gone: Promise<void>
}
export type Route = (asked: Asked, response: ServerResponse) => void | Promise<void>

export type EngineServer = AsyncDisposable & {
  url: string
  asked: Asked[]
  /** Answers from now on; anything without a route is 404, as the real servers do. */
  routes: Record<string, Route>
}

/**
 * A server that speaks an engine's protocol, by the routes that a test gives it: `'POST
 * /api/chat'`.
 */
export async function engineServer(routes: Record<string, Route> = {}): Promise<EngineServer> {
  const own: EngineServer['asked'] = []
  const server = createServer((request, response) => {
    const gone = Promise.withResolvers<void>()
    response.on('close', () => gone.resolve())
    const parts: Buffer[] = []
    request
      .on('data', (part: Buffer) => parts.push(part))
      .on('end', () => {
        const body = Buffer.concat(parts)
        const path = new URL(request.url!, 'http://x').pathname
        const asked: Asked = {
          method: request.method!,
          path,
          headers: request.headers,
          body,
          json: () => JSON.parse(body.toString()) as Record<string, unknown>,
          gone: gone.promise,
        }
        own.push(asked)
        const route = held.routes[`${asked.method} ${path}`]
        if (route === undefined) json(response, 404, { error: '404 page not found' })
        else void route(asked, response)
      })
      .on('error', () => {})
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const held: EngineServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: own,
    routes,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return held
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response
    .writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
    .end(JSON.stringify(body))
}

/**
 * Sends text cut into pieces of `size` bytes, through characters and lines alike, each in a packet
 * of its own.
 */
export async function inPieces(
  response: ServerResponse,
  text: string,
  size: number,
): Promise<void> {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += size) {
    response.write(bytes.subarray(at, at + size))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export const thrownBy = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (value) => {
      throw new Error(`Nothing was thrown; it gave ${JSON.stringify(value)}`)
    },
    (err: unknown) => err,
  )
