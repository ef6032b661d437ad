import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { EarshotError } from '@earshot/contract'
import { newPartial, writePartial } from '@earshot/shared/media/partial'

/**
 * `path`: where its holder says that it lies; `hash` and `size` (bytes): what it must be; `dir`:
 * where the copy goes, made when missing.
 */
export type Near = { path: string; hash: string; size: number; dir: string; signal: AbortSignal }

/**
 * Copies a media file that lies on a disk of this box, too, and proves on the way that it is what
 * was asked for. Answers the copy's path, or undefined when nothing of that content can be read
 * there: on another box the path means nothing. Throws EARSHOT_DISK_FULL, or the signal's reason.
 *
 * @example
 * const path = (await copyMedia({ path: held.path, hash, size, dir: jobDir, signal })) ?? (await fetchMedia(…))
 */
export async function copyMedia({
  path,
  hash,
  size,
  dir,
  signal,
}: Near): Promise<string | undefined> {
  const file = await openRegular(path, size)
  if (file === undefined) return undefined
  const folder = resolve(dir)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const partial = newPartial(folder)
  try {
    const got = await writePartial(partial, file.createReadStream({ autoClose: false }), {
      signal,
      maxBytes: size,
    })
    if (got.size !== size || got.hash !== hash) return undefined
    await rename(partial.path, join(folder, hash))
    return join(folder, hash)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof EarshotError && error.code !== 'EARSHOT_TOO_LARGE') throw error
    return undefined
  } finally {
    await file.close()
    await rm(partial.path, { force: true })
    partial.done()
  }
}

/**
 * Never through a link, never a pipe or device: no one said that this path is ours. Neither flag is
 * known on Windows.
 */
async function openRegular(path: string, size: number): Promise<FileHandle | undefined> {
  const file = await open(
    path,
    constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
  ).catch(() => undefined)
  if (file === undefined) return undefined
  const found = await file.stat()
  if (found.isFile() && found.size === size) return file
  await file.close()
  return undefined
}
