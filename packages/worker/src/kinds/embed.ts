import type { Chunk } from '@earshot/shared/contract'
import type { Database } from '@earshot/shared/db/database'
import { readSegments } from '@earshot/shared/db/functions/documents'
import type { Embedder } from '../engines/engine.ts'
import type { BuiltIn } from '../handle.ts'
import { segmentsToChunks } from '../text/chunks.ts'

/** Texts embedded at once: keeps progress moving and memory flat on a long book. */
const BATCH = 64

/** A document's segments to chunks with vectors. */
export function createEmbed({ db, engine }: { db: Database; engine: Embedder }): BuiltIn<'embed'> {
  return async ({ document_id }, { signal, progress }) => {
    const pieces = segmentsToChunks(await readSegments(db.pool, document_id))
    const chunks: Chunk[] = []
    for (let at = 0; at < pieces.length; at += BATCH) {
      const batch = pieces.slice(at, at + BATCH)
      const vectors = await engine.embed(batch.map((piece) => piece.text), signal)
      batch.forEach(({ start_s, end_s, text }, i) => chunks.push({ start_s, end_s, text, model: engine.model, embedding: vectors[i]! }))
      progress(chunks.length / pieces.length)
    }
    return { chunks }
  }
}
