import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { EarshotError } from '@earshot/contract'
import type { DatabaseSettings, SslMode } from './database.ts'

const MODES: readonly string[] = [
  'disable',
  'require',
  'verify-ca',
  'verify-full',
] satisfies SslMode[]
const PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'ssl']

type Asked = Pick<DatabaseSettings, 'sslmode' | 'caFile'>

/**
 * Takes the TLS parameters out of a database address and returns what they mean as libpq defines
 * them (https://www.postgresql.org/docs/current/libpq-ssl.html): `require` encrypts and checks
 * nothing unless an authority is given, `verify-ca` checks the chain, `verify-full` the name too.
 * node-postgres alone treats `require` as `verify-full`.
 *
 * @throws EarshotError EARSHOT_BAD_CONFIG for an unknown mode or a file that cannot be read
 * @example
 * splitTls('postgresql://db.lan/earshot?sslmode=require', {}) // { url: 'postgresql://db.lan/earshot', ssl: {…} }
 */
export function splitTls(
  address: string,
  asked: Asked,
): { url: string; ssl: ConnectionOptions | false } {
  const [base = '', query = ''] = address.split(/\?(.*)/s)
  const found = new URLSearchParams(query)
  const inAddress = Object.fromEntries(
    PARAMETERS.map((name) => [name, found.get(name) ?? undefined]),
  )
  for (const name of PARAMETERS) found.delete(name)
  const url = found.size === 0 ? base : `${base}?${found}`
  const mode = readMode(
    asked.sslmode ?? inAddress.sslmode ?? (inAddress.ssl === 'true' ? 'require' : 'disable'),
  )
  if (mode === 'disable') return { url, ssl: false }
  const caFile = asked.caFile ?? inAddress.sslrootcert
  const ssl: ConnectionOptions = { rejectUnauthorized: mode !== 'require' || caFile !== undefined }
  if (caFile !== undefined && caFile !== 'system')
    ssl.ca = readPem(caFile, 'the certificate authority')
  if (inAddress.sslcert !== undefined)
    ssl.cert = readPem(inAddress.sslcert, 'the client certificate')
  if (inAddress.sslkey !== undefined) ssl.key = readPem(inAddress.sslkey, 'the client key')
  if (mode !== 'verify-full') ssl.checkServerIdentity = () => undefined
  return { url, ssl }
}

function readMode(mode: string): SslMode {
  if (mode === 'no-verify') return 'require'
  if (MODES.includes(mode)) return mode as SslMode
  throw new EarshotError(
    'EARSHOT_BAD_CONFIG',
    `The sslmode "${mode}" is not one of ${MODES.join(', ')}.`,
    {
      field: 'sslmode',
      hint: 'Write sslmode=require for an encrypted connection, or sslmode=disable',
    },
  )
}

function readPem(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown'
    throw new EarshotError(
      'EARSHOT_BAD_CONFIG',
      `${file}, ${what} for the database, cannot be read (${reason}).`,
      { cause },
    )
  }
}
