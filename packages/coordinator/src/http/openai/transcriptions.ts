import { EarshotError } from '@earshot/contract'
import { submitDocument } from '@earshot/db/functions/documents'
import { rm } from 'node:fs/promises'
import type { MediaStore } from '@earshot/shared/media/store'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { FILE_TIMES } from '../body-times.ts'
import type { Context } from '../context.ts'
import { parse } from '../input.ts'
import { readHeld, writeHeld } from '../../queries/media.ts'
import { type OpenAiApi, headerText } from './api.ts'
import { readForm } from './form.ts'
import { answerBySse, createSse } from './sse.ts'
import { formatHeard, type Heard, RESPONSE_FORMATS, textOf } from './transcript-formats.ts'
import type { Upload } from './uploads.ts'

/** Python's `True`, too. */
const Flag = z
  .string()
  .trim()
  .toLowerCase()
  .pipe(z.enum(['true', 'false', '1', '0']))
  .transform((text) => text === 'true' || text === '1')
/** `word,segment` is how JavaScript writes a list into a form. */
const listed = (given: string | string[]): string[] =>
  [given].flat().flatMap((text) => text.split(',').map((part) => part.trim()))
/** Fields that are not named here change nothing, and are passed over. */
export const TranscriptionFields = z.object({
  model: z.string().min(1).max(200),
  language: z
    .string()
    .trim()
    .regex(/^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$/, 'expected a language such as en')
    .transform((given) => given.split(/[-_]/)[0]!.toLowerCase())
    .optional(),
  prompt: z.string().max(10_000).optional(),
  response_format: z
    .enum(RESPONSE_FORMATS, `expected one of ${RESPONSE_FORMATS.join(', ')}`)
    .default('json'),
  temperature: z.coerce.number().min(0).max(1).optional(),
  stream: Flag.default(false),
  timestamp_granularities: z
    .union([z.string(), z.array(z.string())])
    .transform(listed)
    .pipe(z.array(z.enum(['word', 'segment'])))
    .default(['segment']),
})
export const TranscriptionQuery = z.object({ async: Flag.optional() })
type Fields = z.output<typeof TranscriptionFields>
type Task = 'transcribe' | 'translate'
type Kept = Awaited<ReturnType<MediaStore['put']>>

/** POST /v1/audio/transcriptions and /v1/audio/translations. */
export function transcriptionRoutes(
  scope: FastifyInstance,
  openaiApi: OpenAiApi,
  context: Context,
): void {
  const hear = (task: Task) => async (request: FastifyRequest, reply: FastifyReply) => {
    if (parse(TranscriptionQuery, request.query).async) return takeIn(request, reply, context)
    const keep = (stream: AsyncIterable<Uint8Array>) =>
      context.uploads.keep(stream, { maxBytes: context.limits.mediaBytes })
    const { fields, file } = await readForm<Upload>(request, keep, async (kept) =>
      kept[Symbol.asyncDispose](),
    )
    await using upload = file
    if (upload.size === 0)
      throw new EarshotError('EARSHOT_MEDIA_EMPTY', 'The file is empty.', { field: 'file' })
    return await answer(parse(TranscriptionFields, fields), upload, task, reply, openaiApi)
  }
  const options = { config: { bodyTimes: FILE_TIMES } }
  scope.post('/v1/audio/transcriptions', options, hear('transcribe'))
  scope.post('/v1/audio/translations', options, hear('translate'))
}

async function answer(
  fields: Fields,
  upload: Upload,
  task: Task,
  reply: FastifyReply,
  openaiApi: OpenAiApi,
): Promise<unknown> {
  const { language, prompt, temperature, timestamp_granularities: wanted } = fields
  const picked = await openaiApi.models.pick('transcribe', fields.model, {
    language,
    translate: task === 'translate',
  })
  const payload = {
    media: upload.hash,
    store: false,
    ...(task === 'translate' && { translate: true }),
    ...(language !== undefined && { language }),
    ...(prompt && { prompt }),
    ...(temperature !== undefined && { temperature }),
  }
  if (fields.stream) return stream(payload, reply, openaiApi, picked)
  const asked = await openaiApi.ask(reply, 'transcribe', picked, payload)
  const heard = (await asked.answer).result as Heard
  const { type, body } = formatHeard(heard, fields.response_format, {
    task,
    words: wanted.includes('word'),
    segments: wanted.includes('segment'),
  })
  return reply.type(type).send(body)
}

/**
 * Server-sent events: a piece for each segment that is heard, where the engine tells them as it
 * goes, then all of it.
 */
async function stream(
  payload: Record<string, unknown>,
  reply: FastifyReply,
  openaiApi: OpenAiApi,
  picked: Awaited<ReturnType<OpenAiApi['models']['pick']>>,
): Promise<unknown> {
  const sse = createSse(reply)
  const { answer: answered } = await openaiApi.ask(
    reply,
    'transcribe',
    picked,
    payload,
    async ({ text }, { node }) => {
      if (!sse.begun)
        reply.headers({
          'x-earshot-node': node,
          ...(picked.model !== undefined && { 'x-earshot-model': headerText(picked.model) }),
        })
      const piece = sse.begun ? ` ${String(text)}` : String(text)
      await sse.send({ type: 'transcript.text.delta', delta: piece }, 'transcript.text.delta')
    },
  )
  return answerBySse(reply, sse, async () => {
    const heard = (await answered).result as Heard
    const text = textOf(heard)
    if (!sse.begun)
      await sse.send({ type: 'transcript.text.delta', delta: text }, 'transcript.text.delta')
    // Whichever engine could begin soonest heard it: the headers were sent before it was known what
    // it is called.
    await sse.send(
      { type: 'transcript.text.done', text, model: heard.model ?? heard.engine },
      'transcript.text.done',
    )
  })
}

async function checkAsync(
  { size }: Kept,
  fields: Record<string, unknown>,
): Promise<Pick<Fields, 'language'>> {
  if (size === 0)
    throw new EarshotError('EARSHOT_MEDIA_EMPTY', 'The file is empty.', { field: 'file' })
  return parse(TranscriptionFields.pick({ language: true }), fields)
}

/** `?async=1`: the recording is kept, heard as a job that no one waits for, and found by search. */
async function takeIn(
  request: FastifyRequest,
  reply: FastifyReply,
  { db, media, coordinatorId, limits, url }: Context,
): Promise<unknown> {
  const discard = async ({ hash, path, duplicate }: Kept) => {
    // The rest of the form was no good: a file that no one had before must not stay without a row.
    if (!duplicate && (await readHeld(db.pool, hash, coordinatorId)).held === undefined)
      await rm(path, { force: true })
  }
  const {
    file: kept,
    fileName,
    fields,
  } = await readForm<Kept>(
    request,
    (stream) => media.put(stream, { maxBytes: limits.mediaBytes }),
    discard,
  )
  const { language } = await checkAsync(kept, fields).catch(async (err: unknown) => {
    await discard(kept)
    throw err
  })
  await media.exclusively(kept.hash, async () => {
    if (!(await media.has(kept.hash)))
      throw new EarshotError(
        'EARSHOT_UNREACHABLE',
        'The recording was removed while it was sent a second time.',
        { hint: 'Send it again.' },
      )
    await writeHeld(db.pool, coordinatorId, kept)
  })
  const {
    job_id: id,
    document_id,
    duplicate,
  } = await submitDocument(db.pool, {
    ...kept,
    holder: coordinatorId,
    title: fileName,
    kind: 'audio',
    language,
  })
  return reply
    .code(202)
    .header('x-earshot-job', id)
    .header('location', `${url()}/v1/jobs/${id}`)
    .send({ id, document_id, duplicate, status: 'queued' })
}
