import { EarshotError } from '@earshot/contract'

type Coded = {
  code?: string
  message?: string
  errors?: unknown[]
  address?: string
  port?: number
  hostname?: string
}
type Told = [sentence: string, hint?: string]

const SERVER_HINT = 'Is the server running, and are host and port in DATABASE_URL right?'
const SCHEMA_HINT = 'Run: earshot db init'

/**
 * By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) or by Node's code.
 */
const KNOWN: Record<string, (error: Coded) => Told> = {
  ECONNREFUSED: (e) => [`No database answers${at(e)}.`, SERVER_HINT],
  ENOENT: (e) => [`No database answers${at(e)}.`, SERVER_HINT],
  ENOTFOUND: (e) => [
    `The database's host ${e.hostname ?? ''} is not known.`,
    'Check the host in DATABASE_URL',
  ],
  EAI_AGAIN: (e) => [
    `The database's host ${e.hostname ?? ''} cannot be looked up now.`,
    'Check the network and the host in DATABASE_URL',
  ],
  EHOSTUNREACH: (e) => [`The database's host${at(e)} cannot be reached.`, SERVER_HINT],
  ENETUNREACH: (e) => [`The database's host${at(e)} cannot be reached.`, SERVER_HINT],
  ETIMEDOUT: (e) => [`The database${at(e)} did not answer in time.`, SERVER_HINT],
  ECONNRESET: () => ['The connection to the database was cut.', SERVER_HINT],
  EPIPE: () => ['The connection to the database was cut.', SERVER_HINT],
  '28P01': () => ['The database refuses the password.', 'Check user and password in DATABASE_URL'],
  '28000': (e) => [
    `The database refuses this user or address: ${e.message}.`,
    /no encryption|SSL off/.test(e.message ?? '')
      ? 'Add ?sslmode=require to DATABASE_URL'
      : 'Check user and database in DATABASE_URL, and the server’s pg_hba.conf',
  ],
  '3D000': (e) => [
    `The server has no such database: ${e.message}.`,
    'Create it first, for example: createdb earshot',
  ],
  '53300': () => [
    'The database server takes no more connections.',
    'Lower the pool size, or raise max_connections on the server',
  ],
  '57P01': () => ['The database server is shutting down.'],
  '57P03': () => ['The database server is starting up.', 'Try again in a moment'],
  '57014': () => ['A statement took too long and was cancelled by the database.'],
  '53100': () => ['The disk of the database is full.'],
  '42501': (e) => [`The database user lacks a right: ${e.message}.`],
  '08P01': (e) => [`The server at this address does not speak as PostgreSQL does: ${e.message}.`],
}

const SCHEMA_MISSING = new Set(['42P01', '3F000', '42883'])
const TLS = /^(ERR_TLS|ERR_SSL|EPROTO|DEPTH_|SELF_SIGNED|UNABLE_TO|CERT_|HOSTNAME_MISMATCH)/

/**
 * Turns what node-postgres or the database threw into one sentence for people. An EarshotError is
 * returned as it is. The password is in none of the sentences.
 *
 * @example
 * await db.pool.query('…').catch((err) => { throw databaseError(err) })
 */
export function databaseError(thrown: unknown): EarshotError {
  if (thrown instanceof EarshotError) return thrown
  const error = firstOf(thrown)
  const code = error.code ?? ''
  const about = `${error.message ?? thrown}`
  if (SCHEMA_MISSING.has(code)) return schemaMissing(about, thrown)
  const known =
    KNOWN[code] ?? (TLS.test(code) || /SSL/.test(about) ? tls : undefined) ?? byMessage(about)
  const [sentence, hint] = known?.(error) ?? [
    `The database refused: ${about}${/[.!?]$/.test(about) ? '' : '.'}`,
  ]
  return new EarshotError('EARSHOT_DATABASE', sentence, { hint, cause: thrown })
}

/** A host with several addresses gives an AggregateError without a message. */
function firstOf(thrown: unknown): Coded {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Coded
  return Array.isArray(error.errors) && error.errors.length > 0 ? firstOf(error.errors[0]) : error
}

function at({ address, port }: Coded): string {
  return address === undefined ? '' : ` at ${address}${port === undefined ? '' : `:${port}`}`
}

function tls({ message }: Coded): Told {
  return [
    `No encrypted connection to the database could be made: ${message}.`,
    'sslmode (disable, require, verify-ca, verify-full) and the CA file must fit the server',
  ]
}

/** pg and pg-pool give these no code. */
function byMessage(text: string): ((error: Coded) => Told) | undefined {
  if (/timeout exceeded when trying to connect/.test(text)) {
    return () => [
      'No database connection became free in time.',
      'The pool is exhausted: raise its size, or shorten transactions',
    ]
  }
  if (/connection timeout|timeout expired|Query read timeout/.test(text)) return KNOWN.ETIMEDOUT
  if (/Connection terminated/.test(text)) return KNOWN.ECONNRESET
  if (/password must be a string/i.test(text))
    return () => ['The database asks for a password and none is given.', 'Put it into DATABASE_URL']
  return undefined
}

function schemaMissing(about: string, cause: unknown): EarshotError {
  return new EarshotError(
    'EARSHOT_SCHEMA_MISSING',
    `The database lacks Earshot's schema, or has an older one: ${about}.`,
    { hint: SCHEMA_HINT, cause },
  )
}
