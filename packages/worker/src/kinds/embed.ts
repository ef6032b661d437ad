import { type Chunk, type Output } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import { readSegments } from '@earshot/db/functions/documents'
import { readChunks } from '@earshot/db/functions/vectors'
import { vectorText } from '@earshot/db/vector'
import { knownOf } from '@earshot/shared/embedding-models'
import { LEXICAL_MODEL } from '@earshot/shared/lexical'
import type { Engines } from '../engines/registry.ts'
import type { BuiltIn } from '../handle.ts'
import { segmentsToChunks } from '../text/chunks.ts'
import { embedInBackground, embedTexts } from './embed-texts.ts'

type Doing = { signal: AbortSignal; progress: (fraction: number) => void }

/**
 * A document's segments to chunks with lexical vectors; with a model, its chunks to vectors of that
 * model.
 */
export function createEmbed({ db, engines }: { db: Database; engines: Engines }): BuiltIn<'embed'> {
  async function chunksOf(document: number, { signal, progress }: Doing): Promise<Output<'embed'>> {
    const pieces = segmentsToChunks(await readSegments(db.pool, document))
    const vectors = await embedTexts(
      engines.need('embed', LEXICAL_MODEL),
      pieces.map(({ text }) => text),
      { signal, progress: (done) => progress(done / pieces.length) },
    )
    return {
      chunks: pieces.map((piece, at): Chunk => ({
        ...piece,
        model: LEXICAL_MODEL,
        embedding: vectorText(vectors[at]!),
      })),
    }
  }

  async function vectorsOf(
    document: number,
    model: string,
    { signal, progress }: Doing,
  ): Promise<Output<'embed'>> {
    const chunks = await readChunks(db.pool, document)
    const vectors = await embedInBackground(
      engines.need('embed', model),
      chunks.map(({ text }) => text),
      {
        prefix: knownOf(model).document,
        signal,
        progress: (done) => progress(done / chunks.length),
      },
    )
    return {
      vectors: chunks.map(({ id }, at) => ({
        chunk: id,
        embedding: vectorText(vectors[at]!.map(shortened)),
      })),
    }
  }

  return ({ document_id, model }, doing) =>
    model === undefined ? chunksOf(document_id, doing) : vectorsOf(document_id, model, doing)
}

/** They are kept as 32-bit floats, which hold seven digits: the rest would only travel. */
const shortened = (value: number): number => Number(value.toPrecision(7))
