import { constants, type BigIntStats } from 'node:fs'
import { lstat, open, readlink, realpath, type FileHandle } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'

/** What tells one state of a file from another. Sizes in bytes, times in nanoseconds since 1970. */
export type FileStat = {
  size: number
  mtimeNs: bigint
  ctimeNs: bigint
  ino: bigint
  dev: bigint
  links: number
}

export type Sight =
  | { is: 'nothing' }
  | { is: 'folder' }
  /** A link to something else in the inbox, which is taken in by itself. */
  | { is: 'passed over' }
  | { is: 'refused'; sentence: string }
  | { is: 'file'; stat: FileStat }

/**
 * Looks at what lies at a path below the inbox, without opening it: opening a FIFO would block,
 * opening a device can do anything. `root` must be a real path (no links in it). Throws what the
 * file system says, other than that nothing is there.
 */
export async function examine(root: string, path: string): Promise<Sight> {
  const found = await orNull(lstat(join(root, path), { bigint: true }))
  if (found === null) return { is: 'nothing' }
  if (found.isFile()) return { is: 'file', stat: fileStat(found) }
  if (found.isDirectory()) return { is: 'folder' }
  if (found.isSymbolicLink()) return examineLink(root, path)
  return {
    is: 'refused',
    sentence: `“${path}” is ${sortOf(found)} and not a file, so it is not taken in.`,
  }
}

/**
 * Opens a file below the inbox for reading, or answers null when it is no longer a regular file
 * there. Neither follows a link that was put in its place nor waits for a writer. Throws what the
 * file system says (EACCES…).
 */
export async function openFile(root: string, path: string): Promise<FileHandle | null> {
  const absolute = join(root, path)
  const folder = await orNull(realpath(dirname(absolute)))
  if (folder === null || !isWithin(root, folder)) return null
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0)
  const handle = await orNull(open(absolute, flags))
  if (handle === null || (await handle.stat()).isFile()) return handle
  await handle.close()
  return null
}

/** What an open file is now. */
export async function statHandle(handle: FileHandle): Promise<FileStat> {
  return fileStat(await handle.stat({ bigint: true }))
}

/** Whether nothing was written, renamed or changed between two looks. */
export function sameStat(a: FileStat, b: FileStat): boolean {
  return (
    a.size === b.size &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs &&
    a.ino === b.ino &&
    a.dev === b.dev
  )
}

function fileStat(found: BigIntStats): FileStat {
  return {
    size: Number(found.size),
    mtimeNs: found.mtimeNs,
    ctimeNs: found.ctimeNs,
    ino: found.ino,
    dev: found.dev,
    links: Number(found.nlink),
  }
}

async function examineLink(root: string, path: string): Promise<Sight> {
  const text = await orNull(readlink(join(root, path)))
  if (text === null) return { is: 'nothing' }
  // A dangling link has no real path; where its text points says whether it would leave the inbox.
  const target =
    (await orNull(realpath(join(root, path)))) ?? resolve(dirname(join(root, path)), text)
  if (isWithin(root, target)) return { is: 'passed over' }
  return {
    is: 'refused',
    sentence: `“${path}” is a link that leads out of the inbox, to ${target}, so it is not taken in. Put the file itself here, or a hard link.`,
  }
}

function isWithin(root: string, target: string): boolean {
  const way = relative(root, target)
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way))
}

function sortOf(found: BigIntStats): string {
  if (found.isFIFO()) return 'a named pipe'
  if (found.isSocket()) return 'a socket'
  return 'a device'
}

/**
 * ELOOP: a link in a circle, or put in the place of a file just now; ENXIO: a pipe or socket put
 * there.
 */
const NOT_THERE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'])

async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked
  } catch (error) {
    if (NOT_THERE.has((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}
