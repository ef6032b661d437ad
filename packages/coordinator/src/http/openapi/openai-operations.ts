import {
  ChatCompletion,
  EmbeddingList,
  OpenAiModel,
  OpenAiModels,
  OpenAiTranscription,
} from '@earshot/contract'
import { ChatRequest } from '../openai/chat-request.ts'
import { EmbeddingsRequest } from '../openai/embeddings.ts'
import { SpeechRequest } from '../openai/speech.ts'
import { TranscriptionFields, TranscriptionQuery } from '../openai/transcriptions.ts'
import type { Operation } from './operation.ts'

const heard = {
  query: TranscriptionQuery,
  form: TranscriptionFields,
  openai: true,
  answer: {
    type: [
      'application/json',
      'text/plain',
      'application/x-subrip',
      'text/vtt',
      'text/event-stream',
    ],
    about: 'The transcript; 202 and the job with async=1',
    schema: OpenAiTranscription,
  },
} as const

/** The door for OpenAI's clients. */
export const OPENAI_OPERATIONS: Readonly<Record<string, Operation>> = {
  'GET /v1/models': {
    about: 'Lists the models that nodes offer.',
    answer: { about: 'The models', schema: OpenAiModels },
    openai: true,
  },
  'GET /v1/models/*': {
    about: 'Shows one model.',
    answer: { about: 'The model', schema: OpenAiModel },
    openai: true,
  },
  'POST /v1/chat/completions': {
    about: 'Answers a chat, whole or token by token.',
    body: ChatRequest,
    answer: {
      type: ['application/json', 'text/event-stream'],
      about: 'The answer',
      schema: ChatCompletion,
    },
    openai: true,
  },
  'POST /v1/embeddings': {
    about: 'Texts to vectors.',
    body: EmbeddingsRequest,
    answer: { about: 'The vectors', schema: EmbeddingList },
    openai: true,
  },
  'POST /v1/audio/speech': {
    about: 'Text to speech.',
    body: SpeechRequest,
    answer: {
      type: ['audio/mpeg', 'audio/ogg', 'audio/aac', 'audio/flac', 'audio/wav', 'audio/pcm'],
      about: 'The sound',
    },
    openai: true,
  },
  'POST /v1/audio/transcriptions': { about: 'Speech to text.', ...heard },
  'POST /v1/audio/translations': {
    about: 'Speech to English text, by engines that can.',
    ...heard,
  },
}
