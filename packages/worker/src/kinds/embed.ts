import type { Chunk } from '@earshot/shared/contract'
import type { Database } from '@earshot/shared/db/database'
import { readSegments } from '@earshot/shared/db/functions/documents'
import type { Engines } from '../engines/registry.ts'
import type { BuiltIn } from '../handle.ts'
import { segmentsToChunks } from '../text/chunks.ts'

/** Texts embedded at once: keeps progress moving and memory flat on a long book. */
const BATCH = 64

/** A document's segments to chunks with vectors of `model`, the one that searching holds queries against. */
export function createEmbed({ db, engines, model: name }: { db: Database; engines: Engines; model: string }): BuiltIn<'embed'> {
  return async ({ document_id }, { signal, progress }) => {
    const { engine, model } = engines.need('embed', name)
    const pieces = segmentsToChunks(await readSegments(db.pool, document_id))
    const chunks: Chunk[] = []
    for (let at = 0; at < pieces.length; at += BATCH) {
      const batch = pieces.slice(at, at + BATCH)
      const vectors = await engine.embed(batch.map((piece) => piece.text), { model: model.name, signal })
      batch.forEach(({ start_s, end_s, text }, i) => chunks.push({ start_s, end_s, text, model: model.name, embedding: vectors[i]! }))
      progress(chunks.length / pieces.length)
    }
    return { chunks }
  }
}
