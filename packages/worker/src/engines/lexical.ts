import { LEXICAL_DIMENSIONS, LEXICAL_MODEL, embedLexical } from '@earshot/shared/lexical'
import type { Embedder } from './engine.ts'

/** The built-in embedder, which needs no model; see `embedLexical`. */
export function createLexical(): Embedder {
  return {
    name: 'lexical',
    kind: 'embed',
    probe: async () => ({ available: true, version: '1' }),
    models: async () => [
      { name: LEXICAL_MODEL, size_bytes: 0, loaded: true, dimensions: LEXICAL_DIMENSIONS },
    ],
    async embed(texts, { signal }) {
      signal.throwIfAborted()
      return texts.map((text) => Array.from(embedLexical(text)))
    },
  }
}
