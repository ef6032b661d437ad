import { EarshotError } from '@earshot/contract'
import { constants } from 'node:fs'
import { type FileHandle, open, realpath } from 'node:fs/promises'
import { hashHandle } from '@earshot/shared/media/hash'
import { resolve } from 'node:path'
import type { Context } from './context.ts'
import type { HeldMedia } from '../queries/media.ts'

/**
 * What the system says of a path at which nothing lies, and of one at which a link, a pipe or a
 * socket was put; anything else may pass.
 */
const NOTHING = new Set(['ENOENT', 'ENOTDIR'])
const REPLACED = new Set(['ELOOP', 'ENXIO'])

/**
 * Opens a media file to be streamed; the caller closes it.
 *
 * An inbox belongs to others, so what lies under the path is looked at again: never through a link
 * (it may point anywhere), never a pipe or device, and only while its size is what was taken in.
 *
 * @throws EarshotError EARSHOT_MEDIA_GONE, EARSHOT_MEDIA_CHANGED; EARSHOT_UNREACHABLE when it
 *   cannot be read now, or its disk may come back
 */
export async function openMedia(
  { path, size }: HeldMedia,
  inbox: Context['inbox'],
): Promise<FileHandle> {
  // Neither flag is known on Windows.
  const file = await open(
    path,
    constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
  ).catch((cause: NodeJS.ErrnoException) => {
    if (NOTHING.has(cause.code ?? '')) throw missing(path, inbox, cause)
    if (REPLACED.has(cause.code ?? '')) throw mediaGone(cause)
    throw new EarshotError(
      'EARSHOT_UNREACHABLE',
      `The coordinator cannot read the file ${path} now: ${cause.message}.`,
      { cause },
    )
  })
  try {
    const found = await file.stat()
    if (!found.isFile()) throw mediaGone()
    if (inbox?.holds(path)) await refuseDetour(path)
    if (found.size !== size)
      throw new EarshotError('EARSHOT_MEDIA_CHANGED', 'The file changed after it was taken in.')
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/**
 * A folder on the way may have become a link since the file was taken in. Where one was, the path
 * leads elsewhere now, and the opened file may be any that this user can read.
 */
async function refuseDetour(path: string): Promise<void> {
  const real = await realpath(path).catch((cause: unknown) => {
    throw mediaGone(cause)
  })
  if (real !== resolve(path)) throw mediaGone()
}

/**
 * Files whose content was proven, by what changes whenever the file does. The oldest is dropped
 * first.
 */
const proven = new Map<string, Promise<string>>()
const PROVEN_LIMIT = 1_000

/**
 * Opens a media file as openMedia does and proves that its content is what was taken in; the caller
 * closes it. What was proven is not hashed again while inode, size and both times are the same: a
 * range of a large file, or a second try, is then answered at once.
 *
 * @throws EarshotError as openMedia; EARSHOT_MEDIA_CHANGED when it holds other content
 */
export async function openProven(
  media: HeldMedia & { hash: string },
  inbox: Context['inbox'],
): Promise<FileHandle> {
  const file = await openMedia(media, inbox)
  try {
    if ((await contentOf(file)) !== media.hash)
      throw new EarshotError('EARSHOT_MEDIA_CHANGED', 'The file changed after it was taken in.')
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

async function contentOf(file: FileHandle): Promise<string> {
  const stat = await file.stat({ bigint: true })
  // ctime cannot be set back by a program, as mtime can.
  const state = [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(' ')
  const known = proven.get(state)
  if (known !== undefined) return known
  const hashing = hashHandle(file).then(({ hash }) => hash)
  proven.set(state, hashing)
  if (proven.size > PROVEN_LIMIT) proven.delete(proven.keys().next().value!)
  hashing.catch(() => proven.delete(state))
  return hashing
}

/**
 * What is said of a media file that is not at its place: gone, or, while that is in doubt, only
 * away.
 */
export function missing(path: string, inbox: Context['inbox'], cause?: unknown): EarshotError {
  if (inbox === undefined || inbox.isGone(path)) return mediaGone(cause)
  return new EarshotError(
    'EARSHOT_UNREACHABLE',
    `The file ${path} is not there now; whether it was removed is not known yet. If its disk is not mounted, mount it.`,
    { cause },
  )
}

function mediaGone(cause?: unknown): EarshotError {
  return new EarshotError('EARSHOT_MEDIA_GONE', 'The media is no longer where it was taken in.', {
    hint: 'Put the file back, or drop it into the inbox again.',
    cause,
  })
}
