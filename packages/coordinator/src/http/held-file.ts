import { EarshotError } from '@earshot/shared/contract'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { HeldMedia } from './queries/media.ts'

/**
 * Opens a media file to be streamed; the caller closes it.
 *
 * An inbox belongs to others, so what lies under the path is looked at again: never through a link (it may point anywhere),
 * never a pipe or device, and only while its size is what was taken in.
 *
 * @throws EarshotError EARSHOT_MEDIA_GONE, EARSHOT_MEDIA_CHANGED
 */
export async function openHeld({ path, size }: HeldMedia): Promise<FileHandle> {
  // Neither flag is known on Windows.
  const file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)).catch((cause: unknown) => {
    throw mediaGone(cause)
  })
  try {
    const found = await file.stat()
    if (!found.isFile()) throw mediaGone()
    if (found.size !== size) throw new EarshotError('EARSHOT_MEDIA_CHANGED', 'The file changed after it was taken in.')
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** What is said of media whose file is not there. */
export function mediaGone(cause?: unknown): EarshotError {
  return new EarshotError('EARSHOT_MEDIA_GONE', 'The media is no longer where it was taken in.', { hint: 'Put the file back, or drop it into the inbox again.', cause })
}
