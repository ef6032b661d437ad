/**
 * The few parts of PostgreSQL's wire protocol that the embedded database needs to see: where a
 * message ends, what type it has, and the names inside some
 * (https://www.postgresql.org/docs/current/protocol-message-formats.html).
 */

const HEADER = 5

/** The first byte of a message, as a letter. */
export function typeOf(message: Buffer): string {
  return String.fromCharCode(message[0] ?? 0)
}

/**
 * Length in bytes, header included, of the message that starts at `at`; undefined while it is not
 * wholly there.
 */
export function lengthAt(bytes: Buffer, at: number): number | undefined {
  if (bytes.length - at < HEADER) return undefined
  const length = bytes.readInt32BE(at + 1) + 1
  return bytes.length - at < length ? undefined : length
}

/** The whole messages in a reply, without copying them. */
export function* messagesIn(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const length = lengthAt(bytes, at)
    if (length === undefined) throw new Error('The engine sent half a message.')
    yield bytes.subarray(at, at + length)
    at += length
  }
}

/** Builds a message; strings are written with their closing zero byte. */
export function message(type: string, ...parts: (string | Buffer)[]): Buffer {
  const body = parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part))
  const header = Buffer.alloc(HEADER)
  header.write(type, 'latin1')
  header.writeInt32BE(
    body.reduce((sum, part) => sum + part.length, HEADER - 1),
    1,
  )
  return Buffer.concat([header, ...body])
}

/** The zero-terminated string at `at`, and where the next field begins. */
export function stringAt(bytes: Buffer, at: number): { text: string; next: number } {
  const end = bytes.indexOf(0, at)
  if (end < 0) throw new Error('A message without the end of its string.')
  return { text: bytes.toString('utf8', at, end), next: end + 1 }
}

export const BODY = HEADER

/** The start-up packet of protocol 3.0, which alone has no type byte. */
export function startup(parameters: Record<string, string>): Buffer {
  const words = Object.entries(parameters)
    .flat()
    .map((word) => `${word}\0`)
    .join('')
  const body = Buffer.from(`\0\x03\0\0${words}\0`)
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return Buffer.concat([length, body])
}

export const SYNC = message('S')

/** A simple query. */
export function query(sql: string): Buffer {
  return message('Q', sql)
}
