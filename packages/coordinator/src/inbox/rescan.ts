import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '@earshot/shared/log'
import { examine } from './examine.ts'
import type { Files } from './files.ts'
import { scan, type Found } from './scan.ts'
import type { Proof } from './watcher.ts'

export type Rescanner = {
  /** Looks through the whole inbox: finds what no event told of, and what is gone. */
  all(): Promise<void>
  /** Looks through one folder that appeared. */
  folder(path: string, proof: Proof): Promise<void>
}

/**
 * Looks through the inbox's folders. What is missing counts as gone only where its disk is surely
 * there: a disk that was unmounted leaves an empty folder behind, and no one's jobs may be
 * cancelled for that.
 */
export function createRescanner(
  root: string,
  files: Files,
  log: Log,
  signal: AbortSignal,
): Rescanner {
  /** The device of each folder in which known files were seen. */
  const devices = new Map<string, bigint>()
  /**
   * What was known when the doubt arose; null once one of these was seen. Files taken since then
   * lift no doubt.
   */
  let suspects: Set<string> | null = new Set(files.known.keys())
  let identity: string | null = null
  let told = 0

  async function all(): Promise<void> {
    const seen = new Set<string>()
    const unsure: string[] = []
    for await (const found of scan(root, '', signal)) {
      if (found.what === 'folder' && found.path === '') recognise(`${found.device}:${found.inode}`)
      seen.add(found.path)
      if (suspects?.has(found.path)) suspects = null
      if (found.what === 'file') await visit(found.path, 'seen')
      else if (await other(found)) unsure.push(found.path)
    }
    // Without the folder itself nothing at all is known.
    if (seen.has(''))
      report(
        [...files.known.keys()].filter((path) => !seen.has(path)),
        unsure,
      )
  }

  /**
   * Another folder or disk under the inbox's name: missing files prove nothing until one of the
   * known ones is seen.
   */
  function recognise(now: string): void {
    if (identity !== null && identity !== now) suspects = new Set(files.known.keys())
    identity = now
  }

  function report(missing: string[], unsure: string[]): void {
    const sure = missing.filter((path) => !suspects?.has(path))
    const doubted = missing.length - sure.length
    if (doubted !== told && doubted > 0) {
      log.warn(
        { missing: doubted },
        'None of the files known from before is in the inbox. If its disk is not mounted, mount it; nothing is cancelled',
      )
    }
    told = doubted
    for (const path of sure) {
      if (
        !unsure.some((folder) => folder === '' || path === folder || path.startsWith(`${folder}/`))
      )
        files.gone(path)
    }
  }

  /** Looks at one file unless it is as it was when it was dealt with. */
  async function visit(path: string, proof: Proof): Promise<void> {
    if (!files.known.has(path) || !(await isDone(path))) files.look(path, proof)
  }

  async function isDone(path: string): Promise<boolean> {
    try {
      const sight = await examine(root, path)
      return sight.is === 'file' && files.isDone(path, sight.stat)
    } catch (error) {
      if (typeof (error as NodeJS.ErrnoException).code !== 'string') throw error
      // Whatever keeps us from looking at it is dealt with, and told, where it is taken.
      return false
    }
  }

  /** What is no file; answers whether it is a folder about whose content nothing can be said. */
  async function other(found: Exclude<Found, { what: 'file' }>): Promise<boolean> {
    if (found.what === 'misnamed') {
      await files.refuse(found.path, misnamed(found.path, found.folder))
      return false
    }
    if (found.what === 'closed folder') {
      if (found.path === '') log.warn({ code: found.code }, 'The inbox cannot be listed')
      else
        await files.refuse(
          found.path,
          `The folder “${found.path}” cannot be listed (${found.code}), so nothing in it is taken in.`,
        )
      return true
    }
    // A folder that was refused before and can be listed now.
    if (files.known.has(found.path)) files.look(found.path, 'seen')
    const before = devices.get(found.path)
    if (before === undefined) devices.set(found.path, found.device)
    else if (before !== found.device) return !(await returned(found.path, found.device))
    return false
  }

  /**
   * Whether the other disk under a folder's name holds known files: then it is the one that counts
   * from now on.
   */
  async function returned(folder: string, device: bigint): Promise<boolean> {
    for (const path of files.known.keys()) {
      if (!path.startsWith(folder === '' ? '' : `${folder}/`) || !(await exists(join(root, path))))
        continue
      devices.set(folder, device)
      return true
    }
    return false
  }

  return {
    all,
    async folder(path, proof) {
      for await (const found of scan(root, path, signal)) {
        if (found.what === 'file') await visit(found.path, proof)
        else await other(found)
      }
    },
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}

function misnamed(path: string, folder: boolean): string {
  const what = folder
    ? `folder “${path}” is not valid UTF-8, so nothing in it is`
    : `file “${path}” is not valid UTF-8, so it is not`
  return `The name of the ${what} taken in. Rename it.`
}
