import { LEXICAL_DIMENSIONS, LEXICAL_MODEL, embedLexical } from '@earshot/shared/lexical'
import type { Embedder } from './engine.ts'

/** The built-in embedder, which needs no model; see `embedLexical`. */
export function createLexical(): Embedder {
  return {
    name: 'lexical',
    kind: 'embed',
    model: LEXICAL_MODEL,
    dimensions: LEXICAL_DIMENSIONS,
    probe: async () => ({ available: true, version: '1' }),
    async embed(texts, signal) {
      signal.throwIfAborted()
      return texts.map((text) => Array.from(embedLexical(text)))
    },
  }
}
