/** Of the 16 kHz mono 16-bit files that decode makes. */
export const SAMPLE_RATE = 16_000
export const BYTES_PER_S = SAMPLE_RATE * 2
export const HEADER_BYTES = 44

/**
 * The header of a 16 kHz mono 16-bit WAV file with `bytes` bytes of samples.
 *
 * @example
 * writeFileSync('silence.wav', Buffer.concat([wavHeader(32_000), Buffer.alloc(32_000)]))   // one second
 */
export function wavHeader(bytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.write('RIFF', 0, 'latin1')
  header.writeUInt32LE(Math.min(0xffffffff, bytes + HEADER_BYTES - 8), 4)
  header.write('WAVEfmt ', 8, 'latin1')
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(SAMPLE_RATE, 24)
  header.writeUInt32LE(BYTES_PER_S, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.write('data', 36, 'latin1')
  header.writeUInt32LE(Math.min(0xffffffff, bytes), 40)
  return header
}
