import { EarshotError } from '@earshot/contract'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { parse } from '../input.ts'
import type { OpenAiApi } from './api.ts'

const BODY_LIMIT = 16 * 2 ** 20
const MOST = 2_048

const Text = z.string()
/** Said in the place of a union's own words. */
const NOT_TEXTS = `expected a text, or up to ${MOST} texts; lists of tokens are not taken, since they are different in every model`
/** Fields that are not named here change nothing, and are passed over. */
export const EmbeddingsRequest = z.object({
  model: z.string().min(1).max(200),
  input: z
    .union([Text, z.array(Text).min(1).max(MOST)], NOT_TEXTS)
    .refine((input) => ![input].flat().includes(''), 'a text is empty'),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.number().int().positive().nullish(),
})

/** POST /v1/embeddings: texts to vectors. */
export function embeddingRoutes(scope: FastifyInstance, openaiApi: OpenAiApi): void {
  scope.post('/v1/embeddings', { bodyLimit: BODY_LIMIT }, async (request, reply) => {
    const {
      model,
      input,
      encoding_format: encoding,
      dimensions,
    } = parse(EmbeddingsRequest, request.body)
    const picked = await openaiApi.models.pick('vectors', model)
    checkDimensions(dimensions, picked.dimensions)
    const { answer } = await openaiApi.ask(reply, 'vectors', picked, { texts: [input].flat() })
    const { result } = await answer.catch(tooLong)
    const vectors = result.vectors as number[][]
    checkDimensions(dimensions, vectors[0]?.length)
    const tokens = typeof result.tokens === 'number' ? result.tokens : 0
    return {
      object: 'list',
      data: vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: encoding === 'base64' ? base64(vector) : vector,
      })),
      model: result.model,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    }
  })
}

/** The job's own field has another name. */
function tooLong(error: unknown): never {
  if (!(error instanceof EarshotError) || error.code !== 'EARSHOT_CONTEXT_TOO_LONG') throw error
  throw new EarshotError(error.code, error.message, { field: 'input' })
}

/** Vectors can be cut only where the model was made for it, which no one tells. */
function checkDimensions(asked: number | null | undefined, has: number | undefined): void {
  if (asked == null || has === undefined || asked === has) return
  throw new EarshotError(
    'EARSHOT_BAD_REQUEST',
    `The vectors of this model have ${has} dimensions, and are not cut to ${asked}.`,
    { field: 'dimensions' },
  )
}

/** 32-bit floats, little-endian, as OpenAI's clients read them. */
function base64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4)
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4)
  return bytes.toString('base64')
}
