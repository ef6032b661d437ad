import { networkInterfaces } from 'node:os'

/**
 * The address under which a service that listens on `host` is reached, from other boxes where it
 * listens on all.
 */
export function urlOf(host: string, port: number): string {
  const reached = host === '0.0.0.0' || host === '::' ? firstOutside() : host
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`
}

/** This box's first IPv4 address that others can see; loopback where there is none. */
function firstOutside(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return (
    addresses.find((address) => !address.internal && address.family === 'IPv4')?.address ??
    '127.0.0.1'
  )
}
