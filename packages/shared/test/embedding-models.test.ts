import { knownOf } from '@earshot/shared/embedding-models'
import { expect, test } from 'vitest'

test.each([
  ['nomic-embed-text:latest', 'search_query: ', 'search_document: ', 0.6],
  ['hf.co/nomic-ai/nomic-embed-text-v1.5-GGUF', 'search_query: ', 'search_document: ', 0.6],
  ['intfloat/multilingual-e5-large', 'query: ', 'passage: ', 0.8],
  [
    'e5-mistral-7b-instruct',
    'Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ',
    '',
    0.7,
  ],
  [
    'qwen3-embedding:0.6b',
    'Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:',
    '',
    0.4,
  ],
  ['snowflake-arctic-embed2:568m', 'query: ', '', 0.4],
  [
    'snowflake-arctic-embed:335m',
    'Represent this sentence for searching relevant passages: ',
    '',
    0.4,
  ],
  ['mxbai-embed-large', 'Represent this sentence for searching relevant passages: ', '', 0.5],
  ['BAAI/bge-small-en-v1.5', 'Represent this sentence for searching relevant passages: ', '', 0.5],
  ['bge-m3', '', '', 0.5],
  ['embeddinggemma:300m', 'task: search result | query: ', 'title: none | text: ', 0.4],
  ['all-minilm:l6-v2', '', '', 0.3],
  ['text-embedding-3-small', '', '', 0.3],
  ['house5-of-words', '', '', 0.4],
])('what is known of the model %s', (model, query, document, floor) => {
  expect(knownOf(model)).toEqual({ query, document, floor })
})
