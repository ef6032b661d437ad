import type { BuiltIn } from '../handle.ts'
import type { MediaClient } from '../media/client.ts'
import { readParagraphs } from '../text/paragraphs.ts'

/** A text file to segments, one a paragraph. */
export function createRead({ media }: { media: MediaClient }): BuiltIn<'read'> {
  return async ({ media: hash }, { signal, dir }) => {
    const file = await media.fetch(hash, dir, signal)
    const segments = await readParagraphs(file, { signal })
    await media.verify(hash, signal)
    return { segments }
  }
}
