import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { EarshotError } from '@earshot/contract'

export type StatusPort = { port: number; close(): Promise<void> }

/**
 * A small HTTP port of the worker's own, on loopback: GET /healthz tells whether it runs. Workers
 * need no open port; this one is for the box's own service manager.
 *
 * @param port 0 picks one
 * @throws EarshotError EARSHOT_BAD_CONFIG when the port cannot be had
 */
export async function openStatusPort(
  port: number,
  status: () => Record<string, unknown>,
): Promise<StatusPort> {
  const server = createServer((request, response) => {
    const found = request.method === 'GET' && request.url === '/healthz'
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' })
    response.end(
      JSON.stringify(
        found
          ? { status: 'ok', ...status() }
          : { error: { code: 'EARSHOT_NOT_FOUND', message: 'Only GET /healthz is here.' } },
      ),
    )
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening').catch((cause: unknown) => {
    throw new EarshotError(
      'EARSHOT_BAD_CONFIG',
      `The worker's status port ${port} cannot be opened; another program may have it.`,
      {
        field: 'node.port',
        hint: 'Set node.port to a free port, or to 0, which picks one.',
        cause,
      },
    )
  })
  server.unref()
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
