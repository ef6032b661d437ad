const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A file name as text, or null when its bytes are no UTF-8 (which on Linux a name may be). */
export function decodeName(raw: Uint8Array): string | null {
  try {
    return utf8.decode(raw)
  } catch {
    return null
  }
}

/**
 * A name that is no UTF-8 for people to read: the bytes that make no character stand as `\xff`.
 *
 * @example
 * escapeName(Buffer.from([0x61, 0xff])) // 'a\\xff'
 */
export function escapeName(raw: Uint8Array): string {
  let text = ''
  for (let at = 0; at < raw.length;) {
    const first = raw[at]!
    const length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    const character = decodeName(raw.subarray(at, at + length))
    text += character ?? `\\x${first.toString(16).padStart(2, '0')}`
    at += character === null ? 1 : length
  }
  return text
}
