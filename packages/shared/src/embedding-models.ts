/** What one must know of an embedding model to search by it. */
export type KnownModel = {
  /** Goes before a query, and before a text that is to be found, as the model was trained. */
  query: string
  document: string
  /** From this cosine on a text counts as found. */
  floor: number
}

const INSTRUCTION =
  'Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:'

/**
 * By a part of the name, in small letters; the first that fits. Prefixes are those of the models'
 * own cards. Cosines of different models are no more comparable than their vectors: the floors lie
 * between what is published of unrelated and of fitting texts, and were not measured here
 * (docs/engines.md says whence; the setting embed.floor says otherwise).
 */
const KNOWN: readonly [RegExp, Partial<KnownModel>][] = [
  [/nomic-embed-text/, { query: 'search_query: ', document: 'search_document: ', floor: 0.6 }],
  [
    /(^|[^a-z])e5-(?:small|base|large|mistral-7b)-instruct/,
    { query: `${INSTRUCTION} `, floor: 0.7 },
  ],
  [/(^|[^a-z])e5([^a-z0-9]|$)/, { query: 'query: ', document: 'passage: ', floor: 0.8 }],
  [/embeddinggemma/, { query: 'task: search result | query: ', document: 'title: none | text: ' }],
  [/qwen3-embedding/, { query: INSTRUCTION }],
  [/arctic-embed-?2|arctic-embed-[lm]-v2/, { query: 'query: ' }],
  [/arctic-embed/, { query: 'Represent this sentence for searching relevant passages: ' }],
  [
    /mxbai-embed/,
    { query: 'Represent this sentence for searching relevant passages: ', floor: 0.5 },
  ],
  [
    /bge-(small|base|large)-en/,
    { query: 'Represent this sentence for searching relevant passages: ', floor: 0.5 },
  ],
  [/(^|[^a-z])bge([^a-z]|$)/, { floor: 0.5 }],
  [/(^|[^a-z])gte-(small|base|large)/, { floor: 0.8 }],
  [/minilm|text-embedding-3/, { floor: 0.3 }],
]
const UNKNOWN: KnownModel = { query: '', document: '', floor: 0.4 }

/**
 * What is known of a model by its name; of others that they want no prefixes and spread their
 * cosines widely.
 *
 * @example
 * knownOf('nomic-embed-text:latest').query // 'search_query: '
 */
export function knownOf(model: string): KnownModel {
  const name = model.toLowerCase()
  return { ...UNKNOWN, ...KNOWN.find(([pattern]) => pattern.test(name))?.[1] }
}
