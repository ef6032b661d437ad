import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

/** What names a file's content: SHA-256 in hex, and its size in bytes. */
export type Hashed = { hash: string; size: number }

/**
 * Small enough that hashing a long recording never holds up the event loop for more than a
 * millisecond.
 */
const PIECE = 256 * 1024

/**
 * Hashes a file's content with SHA-256 (FIPS 180-4), in pieces, so that memory stays flat whatever
 * its size. Never waits for a writer: a FIFO is opened without blocking. Throws what the file
 * system says, or the signal's reason.
 *
 * @example
 * const { hash, size } = await hashFile('/inbox/talk.mp3', AbortSignal.timeout(60_000))
 */
export async function hashFile(path: string, signal?: AbortSignal): Promise<Hashed> {
  // Windows has no O_NONBLOCK; there it is undefined.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    return await hashHandle(handle, signal)
  } finally {
    await handle.close()
  }
}

/** Pieces that no one reads into now: a thousand small files need no thousand of them. */
const spare: Buffer[] = []

/** Hashes what an open file holds, from its first byte to its end; the caller closes the handle. */
export async function hashHandle(handle: FileHandle, signal?: AbortSignal): Promise<Hashed> {
  const hash = createHash('sha256')
  const piece = spare.pop() ?? Buffer.allocUnsafe(PIECE)
  let size = 0
  for (;;) {
    signal?.throwIfAborted()
    const { bytesRead } = await handle.read(piece, 0, piece.length, size)
    if (bytesRead === 0) break
    hash.update(bytesRead === piece.length ? piece : piece.subarray(0, bytesRead))
    size += bytesRead
  }
  // Only now: after a failure the system may still be reading into it.
  spare.push(piece)
  return { hash: hash.digest('hex'), size }
}
