import { KINDS } from '@earshot/shared/contract'
import type { MediaClient } from '../media.ts'
import type { Handler } from '../run-job.ts'
import { readParagraphs } from '../text/paragraphs.ts'

/** A text file to segments, one a paragraph. */
export function createRead({ media }: { media: MediaClient }): Handler {
  return async ({ payload }, { signal, dir }) => {
    const { media: hash } = KINDS.read.payload.parse(payload)
    const file = await media.fetch(hash, dir, signal)
    const segments = await readParagraphs(file)
    await media.verify(hash, signal)
    return { segments }
  }
}
