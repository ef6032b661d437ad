import { createHash, randomBytes } from 'node:crypto'
import { open, readdir, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { EarshotError } from '@earshot/contract'
import type { Hashed } from './hash.ts'

/** Anything that yields bytes: a request's body, a file stream, a web stream. */
export type Bytes = AsyncIterable<Uint8Array>
export type Partial = { path: string; done(): void }

/**
 * The half-written files of this very process. A process id alone cannot tell: in a container it is
 * 1 in every life.
 */
const ours = new Set<string>()
const NAME = /^\.partial-(\d+)-[0-9a-f]+$/
/**
 * Longer than any upload may take: an older half-written file is a leftover even if some process
 * has its writer's id.
 */
const OLD_MS = 24 * 3600 * 1000

/** Names a file to write into, in the folder (and so on the disk) where it will be renamed. */
export function newPartial(folder: string): Partial {
  const path = join(folder, `.partial-${process.pid}-${randomBytes(8).toString('hex')}`)
  ours.add(path)
  return { path, done: () => void ours.delete(path) }
}

/**
 * Writes a stream to a half-written file, hashing on the way, and brings it to the disk (fsync).
 * Throws EARSHOT_DISK_FULL, EARSHOT_TOO_LARGE, the signal's reason, or what the stream threw; the
 * caller removes the file.
 */
export async function writePartial(
  partial: Partial,
  stream: Bytes,
  { signal, maxBytes = Infinity }: { signal?: AbortSignal; maxBytes?: number },
): Promise<Hashed> {
  const handle = await noting(partial.path, () => open(partial.path, 'wx', 0o600))
  try {
    const hash = createHash('sha256')
    let size = 0
    for await (const piece of stream) {
      signal?.throwIfAborted()
      size += piece.length
      if (size > maxBytes)
        throw new EarshotError(
          'EARSHOT_TOO_LARGE',
          `The file is larger than the limit of ${maxBytes} bytes.`,
        )
      hash.update(piece)
      await noting(partial.path, () => writeAll(handle, piece))
    }
    signal?.throwIfAborted()
    await noting(partial.path, () => handle.sync())
    return { hash: hash.digest('hex'), size }
  } finally {
    await handle.close()
  }
}

/** Removes half-written files whose writer is gone. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const pid = NAME.exec(name)?.[1]
    if (pid === undefined || ours.has(path)) continue
    if (Number(pid) === process.pid || !alive(Number(pid)) || (await isOld(path)))
      await rm(path, { force: true })
  }
}

/**
 * Makes a rename in a folder last through a power cut. Windows cannot open folders and needs no
 * such thing.
 */
export async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle
  try {
    handle = await open(folder, 'r')
  } catch (error) {
    if (['EPERM', 'EISDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return
    throw error
  }
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function writeAll(handle: FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.length;) {
    at += (await handle.write(piece, at, piece.length - at)).bytesWritten
  }
}

async function noting<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error
    throw new EarshotError('EARSHOT_DISK_FULL', `The disk that holds ${dirname(path)} is full.`, {
      hint: 'Make room on it; the work goes on by itself.',
      cause: error,
    })
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, under another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function isOld(path: string): Promise<boolean> {
  try {
    return Date.now() - (await stat(path)).mtimeMs > OLD_MS
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
