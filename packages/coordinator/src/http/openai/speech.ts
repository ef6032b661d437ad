import { EarshotError } from '@earshot/contract'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { openBytes } from '../artifacts.ts'
import type { Context } from '../context.ts'
import { parse } from '../input.ts'
import { readArtifact } from '../../queries/media.ts'
import { type OpenAiApi, goneSignal } from './api.ts'

const TYPES = {
  mp3: 'audio/mpeg',
  opus: 'audio/ogg',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
} as const
const FORMATS = Object.keys(TYPES) as [keyof typeof TYPES]

const Asked = z.string().min(1).max(200)
/** As the kind's own schema has it, so that it is the client's field that is found wrong. */
const Voice = z.string().regex(/^[\w.+-]{1,64}$/, 'expected the name of a voice')

/** Fields that are not named here change nothing, and are passed over. */
export const SpeechRequest = z.object({
  model: z.string().min(1).max(200),
  input: z.string().trim().min(1).max(20_000),
  voice: z.union([Asked, z.object({ id: Asked }).transform(({ id }) => id)]).nullish(),
  response_format: z
    .enum(FORMATS, `expected one of ${FORMATS.join(', ')}`)
    .nullish()
    .transform((format) => format ?? 'mp3'),
  speed: z.number().min(0.25).max(4).nullish(),
  stream_format: z.literal('audio', 'only audio is sent').nullish(),
})

/** POST /v1/audio/speech: text to speech, as a file. */
export function speechRoutes(scope: FastifyInstance, openaiApi: OpenAiApi, context: Context): void {
  scope.post('/v1/audio/speech', async (request, reply) => {
    const {
      model,
      input,
      voice,
      response_format: format,
      speed,
    } = parse(SpeechRequest, request.body)
    const named = voice == null ? undefined : openaiApi.aliases.voice(voice)
    if (named !== undefined) parse(Voice, named, 'voice')
    const picked = await openaiApi.models.pick('speak', model, { voice: named })
    const { answer } = await openaiApi.ask(reply, 'speak', picked, {
      text: input,
      format,
      ...(named !== undefined && { voice: named }),
      ...(speed != null && { speed }),
    })
    const { result } = await answer
    const artifact = await readArtifact(context.db.pool, Number(result.artifact_id))
    if (artifact === undefined)
      throw new EarshotError('EARSHOT_MEDIA_GONE', 'The speech was made, and is gone already.')
    const { body, size } = await openBytes(artifact, context, goneSignal(reply))
    return reply.type(TYPES[format]).header('content-length', size).send(body)
  })
}
