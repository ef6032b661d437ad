const PROTOCOL = /^postgres(ql)?:\/\//
/**
 * A host that only the query names, as for a socket:
 * `postgresql://user:password@/database?host=/var/run/postgresql`.
 */
const NO_HOST = /^(postgres(?:ql)?:\/\/[^@/?#]*@)(?=[/?]|:\d+[/?])/

/**
 * A database address in a form that every reader of URLs takes: where the query names the host,
 * another stands before the path, and the query still wins.
 *
 * @example
 * withHost('postgresql://ada@/mesh?host=/run') // 'postgresql://ada@localhost/mesh?host=/run'
 */
export function withHost(address: string): string {
  return queriedHost(address) === null ? address : address.replace(NO_HOST, '$1localhost')
}

/** Whether it is the address of one database server. */
export function isDatabaseAddress(address: string): boolean {
  return PROTOCOL.test(address) && isDecodable(address) && hostsOf(address).length <= 1
}

/** What to write instead of an address that is none, where that can be told. */
export function adviseOnDatabaseAddress(address: string): string | undefined {
  if (PROTOCOL.test(address))
    return hostsOf(address).length > 1
      ? 'name one host, such as a name that always leads to the primary server'
      : undefined
  if (/^(host|hostaddr|dbname|user)\s*=/.test(address))
    return 'write host=… dbname=… as postgresql://user:password@host:5432/dbname'
  return undefined
}

function hostsOf(address: string): string[] {
  const { hosts = '' } = /^\w+:\/\/(?:[^@/?#]*@)?(?<hosts>[^/?#]*)/.exec(address)?.groups ?? {}
  return (queriedHost(address) ?? hosts).split(',')
}

function queriedHost(address: string): string | null {
  return new URLSearchParams(address.split(/\?(.*)/s)[1] ?? '').get('host')
}

function isDecodable(address: string): boolean {
  try {
    return decodeURIComponent(address) !== ''
  } catch {
    return false
  }
}

/** What to write instead of libpq's modes that may end in a connection without encryption. */
export function adviseOnSslMode(mode: string): string | undefined {
  return mode === 'prefer' || mode === 'allow'
    ? 'write require for an encrypted connection, or disable'
    : undefined
}
