import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { EarshotError, MediaHash } from '@earshot/contract'
import type { Hashed } from './hash.ts'
import { newPartial, removeLeftovers, syncFolder, writePartial, type Bytes } from './partial.ts'

export type Kept = Hashed & { path: string; duplicate: boolean }

export type MediaStore = {
  /**
   * Keeps a stream under the SHA-256 of its content. `maxBytes` limits it. The file appears whole
   * or not at all; content that is there already is not written twice (`duplicate`). `record`
   * writes it down before anything may remove it. Throws EARSHOT_DISK_FULL, EARSHOT_TOO_LARGE, the
   * signal's reason, or what the stream itself threw.
   */
  put(
    stream: Bytes,
    more?: { signal?: AbortSignal; maxBytes?: number; record?: (kept: Kept) => Promise<void> },
  ): Promise<Kept>
  /** Runs `work` while content of this hash is neither put here nor removed by other work. */
  exclusively<T>(hash: string, work: () => Promise<T>): Promise<T>
  /**
   * Where content of this hash lies, or would lie. Throws EARSHOT_BAD_REQUEST when it is not a
   * hash.
   */
  path(hash: string): string
  /** Whether content of this hash is kept here. */
  has(hash: string): Promise<boolean>
}

/**
 * Opens the media folder of this home (`HOME/media/ab/abcdef…`) and removes what an earlier process
 * left half written. The folders are made with mode 0700: recordings are private.
 *
 * @example
 * const media = await createMediaStore('/var/lib/earshot')
 * const { hash } = await media.put(request.raw, { signal, maxBytes: 10 * 2 ** 30 })
 */
export async function createMediaStore(home: string): Promise<MediaStore> {
  const root = resolve(home, 'media')
  await mkdir(root, { recursive: true, mode: 0o700 })
  await removeLeftovers(root)

  const path = (hash: string): string => {
    if (!MediaHash.safeParse(hash).success) {
      throw new EarshotError('EARSHOT_BAD_REQUEST', 'A media hash is 64 hexadecimal digits.', {
        field: 'hash',
      })
    }
    return join(root, hash.slice(0, 2), hash)
  }
  const has = async (hash: string): Promise<boolean> => (await sizeOf(path(hash))) !== null

  /** The last work on each hash that someone works on. */
  const turns = new Map<string, Promise<unknown>>()

  async function exclusively<T>(hash: string, work: () => Promise<T>): Promise<T> {
    const mine = (turns.get(hash) ?? Promise.resolve()).then(work)
    const ended = mine.catch(() => {})
    turns.set(hash, ended)
    try {
      return await mine
    } finally {
      if (turns.get(hash) === ended) turns.delete(hash)
    }
  }

  async function place(written: Hashed, partial: string): Promise<Kept> {
    const target = path(written.hash)
    // A file of another size under this name was damaged by something else: the good content
    // replaces it.
    if ((await sizeOf(target)) === written.size)
      return { ...written, path: target, duplicate: true }
    await mkdir(join(root, written.hash.slice(0, 2)), { recursive: true, mode: 0o700 })
    await rename(partial, target)
    await syncFolder(join(root, written.hash.slice(0, 2)))
    return { ...written, path: target, duplicate: false }
  }

  return {
    path,
    has,
    exclusively,
    async put(stream, { signal, maxBytes, record } = {}) {
      const partial = newPartial(root)
      try {
        const written = await writePartial(partial, stream, { signal, maxBytes })
        return await exclusively(written.hash, async () => {
          const kept = await place(written, partial.path)
          await record?.(kept)
          return kept
        })
      } finally {
        await rm(partial.path, { force: true })
        partial.done()
      }
    },
  }
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    const found = await stat(path)
    return found.isFile() ? found.size : null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
