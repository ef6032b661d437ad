import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isIgnored } from './ignored.ts'
import { decodeName, escapeName } from './names.ts'

/** What a look through the folder finds; `path` is relative, with forward slashes. */
export type Found =
  | { what: 'file'; path: string }
  | { what: 'folder'; path: string; device: bigint; inode: bigint }
  /**
   * A name that is no UTF-8; `path` is escaped for reading and opens nothing. Nothing below such a
   * folder is looked at.
   */
  | { what: 'misnamed'; path: string; folder: boolean }
  /** A folder that cannot be listed: what is below it is unknown, not gone. */
  | { what: 'closed folder'; path: string; code: string }

/**
 * Walks the inbox, or one folder of it, one folder at a time; links are not followed, ignored names
 * are passed over. A folder that vanishes on the way is no error.
 *
 * @example
 * for await (const found of scan('/srv/inbox', '', signal)) …
 */
export async function* scan(
  root: string,
  under: string,
  signal: AbortSignal,
): AsyncGenerator<Found> {
  const folders = [under]
  for (let path = folders.pop(); path !== undefined; path = folders.pop()) {
    signal.throwIfAborted()
    const listed = await list(join(root, path))
    if (listed === null) continue
    if (typeof listed === 'string') {
      yield { what: 'closed folder', path, code: listed }
      continue
    }
    yield { what: 'folder', path, device: listed.device, inode: listed.inode }
    for (const entry of listed.entries) {
      const found = name(path, entry.name)
      if (isIgnored(found.path)) continue
      if (!found.valid) yield { what: 'misnamed', path: found.path, folder: entry.isDirectory() }
      else if (entry.isDirectory()) folders.push(found.path)
      else yield { what: 'file', path: found.path }
    }
  }
}

function name(folder: string, raw: Buffer): { path: string; valid: boolean } {
  const text = decodeName(raw)
  const prefix = folder === '' ? '' : `${folder}/`
  return { path: prefix + (text ?? escapeName(raw)), valid: text !== null }
}

/**
 * Entries of a folder, null when it is no folder any more, or the code of what keeps us from
 * listing it.
 */
async function list(absolute: string) {
  try {
    const found = await lstat(absolute, { bigint: true })
    if (!found.isDirectory()) return null
    return {
      device: found.dev,
      inode: found.ino,
      entries: await readdir(absolute, { withFileTypes: true, encoding: 'buffer' }),
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === undefined) throw error
    return code === 'ENOENT' || code === 'ENOTDIR' ? null : code
  }
}
