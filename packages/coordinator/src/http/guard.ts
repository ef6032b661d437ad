import { EarshotError } from '@earshot/contract'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createHash, timingSafeEqual } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import type { HttpSettings } from './context.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `open`: no key is needed. `signed`: nor with a signature, which the route then checks. */
    access?: 'open' | 'signed'
  }
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Whether a host name or address means this machine only. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase()
  const family = isIP(bare)
  return family === 0 ? bare === 'localhost' : loopback.check(bare, family === 6 ? 'ipv6' : 'ipv4')
}

/**
 * @throws EarshotError EARSHOT_KEY_NEEDED when the service would be open to the network without a
 *   key
 */
export function checkKeyPresent({ host, key }: HttpSettings): void {
  if (isLoopback(host) || key) return
  throw new EarshotError(
    'EARSHOT_KEY_NEEDED',
    `Listening on ${host} opens the mesh to the network, so it needs a key.`,
    {
      field: 'EARSHOT_KEY',
      hint: 'Set EARSHOT_KEY to a long random text, the same on every box.',
    },
  )
}

/**
 * Refuses requests that a web page of another origin makes the user's browser send (Origin,
 * Sec-Fetch-Site), those that reach this port under a foreign name (Host: DNS rebinding),
 * compressed bodies, and, where there is a key, those without it.
 */
export function guard(app: FastifyInstance, settings: HttpSettings): void {
  const known = knownHosts(settings)
  const { key } = settings
  app.addHook('onRequest', async (request) => {
    checkHost(request, known)
    checkOrigin(request, settings)
    checkSite(request)
    if (key && needsKey(request)) checkKey(request, key)
    checkEncoding(request)
  })
}

/** Which Host headers are this service: by name, or null for "any address". */
function knownHosts({ host, url }: HttpSettings): (name: string) => boolean {
  const names = new Set([host.toLowerCase()])
  if (url !== undefined) names.add(new URL(url).hostname.replace(/^\[|\]$/g, ''))
  const anywhere = host === '0.0.0.0' || host === '::'
  // Rebinding needs a name that an attacker's DNS answers for; a bare address cannot be rebound.
  return (name) => isLoopback(name) || names.has(name) || (anywhere && isIP(name) !== 0)
}

/** A name or an address, and a port: anything else is read differently by different programs. */
const HOST = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?$/

function checkHost(request: FastifyRequest, known: (name: string) => boolean): void {
  const { rawHeaders } = request.raw
  const hosts = rawHeaders.filter(
    (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'host',
  )
  if (hosts.length !== 1 || !HOST.test(hosts[0]!))
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      'The request needs one Host header: a name or an address, and perhaps a port.',
      { field: 'host' },
    )
  const name = request.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  if (known(name)) return
  throw new EarshotError(
    'EARSHOT_FORBIDDEN_ORIGIN',
    `This mesh does not answer under the name "${name}".`,
    {
      field: 'host',
      hint: 'Set EARSHOT_ADVERTISE to the address under which it is to be reached.',
    },
  )
}

function checkOrigin(request: FastifyRequest, { url }: HttpSettings): void {
  const { origin } = request.headers
  if (origin === undefined || origin === `http://${request.host}`) return
  if (url !== undefined && origin === new URL(url).origin) return
  throw new EarshotError('EARSHOT_FORBIDDEN_ORIGIN', `Pages of ${origin} may not use this mesh.`, {
    field: 'origin',
  })
}

/**
 * Browsers say where a request comes from, even where they send no Origin; programs send neither.
 */
function checkSite({ method, headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin' || site === 'none') return
  if (method === 'GET' || method === 'HEAD') return
  throw new EarshotError(
    'EARSHOT_FORBIDDEN_ORIGIN',
    'Pages of another site may not change anything in this mesh.',
    { field: 'sec-fetch-site' },
  )
}

function checkEncoding({ headers }: FastifyRequest): void {
  const encoding = headers['content-encoding']
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return
  throw new EarshotError('EARSHOT_ENCODED', 'This mesh takes no compressed bodies.', {
    field: 'content-encoding',
    hint: 'Send the body as it is, without the header content-encoding.',
  })
}

function needsKey(request: FastifyRequest): boolean {
  const { access } = request.routeOptions.config
  if (access === 'open') return false
  return !(access === 'signed' && hasSignature(request))
}

/** Whether the request shows a signature, right or wrong. */
export function hasSignature(request: FastifyRequest): boolean {
  return (request.query as { signature?: unknown }).signature !== undefined
}

function checkKey(request: FastifyRequest, key: string): void {
  const shown = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  if (shown !== undefined && timingSafeEqual(digest(shown), digest(key))) return
  throw new EarshotError(
    'EARSHOT_UNAUTHORIZED',
    shown === undefined ? 'This mesh asks for its key.' : 'This is not the key of this mesh.',
    {
      hint: "Set EARSHOT_KEY to the mesh's key; over plain HTTP send the header: Authorization: Bearer <key>",
    },
  )
}

// Digests have one length, so that the comparison does not tell how long the key is.
const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
