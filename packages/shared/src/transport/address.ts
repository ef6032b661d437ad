/** Where a Redis is: one server, a Sentinel-watched set of them, or a cluster. */
export type RedisAddress = {
  mode: 'single' | 'sentinel' | 'cluster'
  tls: boolean
  hosts: { host: string; port: number }[]
  username?: string
  password?: string
  /** The number of the database; a cluster has only 0. */
  db: number
  /** What the Sentinels call the set. */
  master?: string
}

const SHAPE =
  /^redis(?<tls>s)?(?:\+(?<mode>sentinel|cluster))?:\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^/?#]+)(?:\/(?<path>[^?#]*))?$/
const HOST = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<name>[A-Za-z0-9._-]+))(?::(?<port>\d{1,5}))?$/

/**
 * Reads a Redis address; undefined when it is none. User, password and the Sentinels' name for the
 * set may be percent-encoded.
 *
 * @example
 * parseRedisAddress('redis://:secret@box-1:6379/2')
 * parseRedisAddress('rediss+sentinel://user:secret@box-1:26379,box-2:26379/mesh/0')
 * parseRedisAddress('redis+cluster://box-1:6379,box-2:6379')
 */
export function parseRedisAddress(address: string): RedisAddress | undefined {
  const {
    tls,
    mode = 'single',
    user,
    password,
    hosts: listed = '',
    path = '',
  } = SHAPE.exec(address)?.groups ?? {}
  const hosts = listed.split(',').map((host) => readHost(host, mode === 'sentinel' ? 26_379 : 6379))
  if (hosts.some((host) => host === undefined) || (mode === 'single' && hosts.length > 1))
    return undefined
  const parts = path === '' ? [] : path.split('/')
  const master = mode === 'sentinel' ? parts.shift() : undefined
  const [db = '0', ...rest] = parts
  if (
    rest.length > 0 ||
    !/^\d{1,4}$/.test(db) ||
    (mode === 'sentinel' && !master) ||
    (mode === 'cluster' && Number(db) !== 0)
  )
    return undefined
  try {
    return {
      mode: mode as RedisAddress['mode'],
      tls: tls !== undefined,
      hosts: hosts as RedisAddress['hosts'],
      db: Number(db),
      ...(user && { username: decodeURIComponent(user) }),
      ...(password && { password: decodeURIComponent(password) }),
      ...(master && { master: decodeURIComponent(master) }),
    }
  } catch {
    return undefined // a percent sign that encodes nothing
  }
}

/**
 * The ways in which addresses are wrong most often, the first that fits told; none shows the
 * address, which may carry a password.
 */
const FAULTS: [looksLike: RegExp, advice: string][] = [
  [
    /^(?!rediss?(\+sentinel|\+cluster)?:\/\/)/,
    'it begins with redis://, rediss:// (TLS), redis+sentinel:// or redis+cluster://',
  ],
  [
    /^[^@/]*\/\/[^@/?#]*[/?#][^@]*@|^[^@]*@[^@]*@/,
    'signs with a meaning are percent-encoded in user and password: @ is %40, / is %2F, ? is %3F, % is %25',
  ],
  [/%(?![0-9a-f]{2})/i, 'a percent sign in user, password or name is written %25'],
  [/[?#]/, 'nothing follows the path; TLS is asked for by rediss://'],
  [
    /^rediss?:\/\/.*,/,
    'several hosts need redis+sentinel://host,host/name or redis+cluster://host,host',
  ],
  [
    /^rediss?\+sentinel:\/\/[^/]*\/?$/,
    'what the Sentinels call the set follows their addresses: redis+sentinel://host:26379/name',
  ],
  [
    /^rediss?\+cluster:\/\/[^/]*\/./,
    'a cluster has no database but 0, so that nothing follows its hosts',
  ],
  [
    /^[^/]*\/\/(?:[^@]*@)?[^/@:]*:(?:\D|0*(?:\/|,|$)|\d{5})[^@]*$/,
    'a port is a number from 1 to 65535',
  ],
]

/**
 * What most likely is wrong with an address that `parseRedisAddress` does not take; undefined when
 * that is not known.
 */
export function adviseOnRedisAddress(address: string): string | undefined {
  return FAULTS.find(([looksLike]) => looksLike.test(address))?.[1]
}

function readHost(text: string, standard: number): { host: string; port: number } | undefined {
  const { v6, name, port } = HOST.exec(text)?.groups ?? {}
  const host = v6 ?? name
  if (host === undefined || Number(port ?? standard) > 65_535 || Number(port ?? standard) === 0)
    return undefined
  return { host, port: Number(port ?? standard) }
}
