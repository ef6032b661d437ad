import { z } from 'zod'
import { Generated, GenerateRequest, ModelName } from './chat.ts'
import { JOB_CLASSES } from './classes.ts'
import { Chunk, Segment } from './text.ts'

/** SHA-256 of a file's content, in hex: the name by which media travels. */
export const MediaHash = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 hash: 64 hexadecimal digits')

/** A language by its code. */
export const Language = z.string().regex(/^[a-z]{2,3}$/, 'expected a language such as en')

/** Ids are drawn from a sequence; they stay far below 2^53, so a JSON number carries them. */
export const Id = z.number().int().positive()

/** Sound files that `speak` makes; pcm is 24 kHz mono, 16 bits a sample, without any header. */
export const SPEECH_FORMATS = ['wav', 'mp3', 'opus', 'flac', 'aac', 'pcm'] as const
export type SpeechFormat = (typeof SPEECH_FORMATS)[number]

/**
 * The coordinator that hears a job's fleeting output (tokens, say), by its own address; see
 * packages/worker/src/stream.ts. Set by the mesh itself.
 */
const ReplyTo = z.url({ protocol: /^https?$/ })

/** What was measured of a recording, beside its words. */
const heardFields = {
  /** RMS of its loudest moments, in dB of full scale; −100 is digital silence. */
  level_db: z.number().optional(),
  /** There is not a word in it. */
  no_speech: z.literal(true).optional(),
  /** What is odd about the recording, a sentence each. */
  warnings: z.array(z.string()).optional(),
}

/**
 * Every kind of job, with the role that runs it, what goes in (`payload`), what a handler gives
 * back (`output`, stored by the database in the same transaction that completes the job) and what
 * is kept on the job (`result`). sql/functions/finish_jobs.sql stores the outputs. That a kind is
 * known, and its role, stands in the table earshot.job_kinds, beside the kinds of the users' own.
 */
export const KINDS = {
  /** Speech in a recording to segments of text. */
  transcribe: {
    role: 'stt_batch',
    payload: z.object({
      media: MediaHash,
      document_id: Id.optional(),
      title: z.string().min(1).max(1000).optional(),
      /** The node's default model, unless given. */
      model: ModelName.optional(),
      /** Of the speech, as `en`; found out, or the model's own, unless given. */
      language: Language.optional(),
      /** Written down in English, whatever was spoken. */
      translate: z.boolean().optional(),
      /** Times of single words, where the engine has them; true unless told otherwise. */
      words: z.boolean().optional(),
      /** Names and words that may come up, or what was said before. */
      prompt: z.string().max(10_000).optional(),
      temperature: z.number().min(0).max(1).optional(),
      /** false: makes no document; what was heard is the job's result. */
      store: z.boolean().optional(),
      reply_to: ReplyTo.optional(),
    }),
    output: z.object({
      duration_s: z.number().nonnegative(),
      engine: z.string(),
      model: z.string().optional(),
      language: z.string().optional(),
      text: z.string().optional(),
      segments: z.array(Segment),
      ...heardFields,
    }),
    /**
     * With `store: false` it has the segments themselves and the whole text; else their number and
     * the document.
     */
    result: z.object({
      document_id: Id.optional(),
      duration_s: z.number(),
      engine: z.string(),
      model: z.string().optional(),
      language: z.string().optional(),
      text: z.string().optional(),
      segments: z.union([z.number().int(), z.array(Segment)]),
      ...heardFields,
    }),
  },
  /** A text file to segments, one a paragraph. */
  read: {
    role: 'rag_engine',
    payload: z.object({
      media: MediaHash,
      document_id: Id.optional(),
      title: z.string().min(1).max(1000).optional(),
    }),
    output: z.object({ segments: z.array(Segment) }),
    result: z.object({ document_id: Id, segments: z.number().int() }),
  },
  /**
   * A document's segments to chunks with lexical vectors; makes the document ready. With a model:
   * those chunks to vectors of that model, beside the lexical ones; the mesh itself asks for them.
   */
  embed: {
    role: 'rag_engine',
    payload: z.object({ document_id: Id, model: ModelName.optional() }),
    output: z.union([
      z.object({ chunks: z.array(Chunk) }),
      z.object({ vectors: z.array(z.object({ chunk: Id, embedding: z.string() })) }),
    ]),
    result: z.object({ document_id: Id, model: z.string().optional(), chunks: z.number().int() }),
  },
  /** Texts to vectors: comparable only with those of the same model. */
  vectors: {
    role: 'rag_engine',
    payload: z.object({
      model: ModelName.optional(),
      texts: z.array(z.string().max(1_000_000)).min(1).max(2_048),
    }),
    output: z.object({
      model: z.string(),
      vectors: z.array(z.array(z.number())),
      engine: z.string(),
      tokens: z.number().int().optional(),
    }),
    result: z.object({
      model: z.string(),
      vectors: z.array(z.array(z.number())),
      engine: z.string(),
      tokens: z.number().int().optional(),
    }),
  },
  /** A conversation to its next message. */
  generate: {
    role: 'llm_light',
    payload: GenerateRequest.extend({ reply_to: ReplyTo.optional() }),
    output: Generated,
    result: Generated,
  },
  /** Text to speech: a sound file, kept as an artifact. */
  speak: {
    role: 'tts',
    payload: z.object({
      text: z.string().trim().min(1).max(20_000),
      voice: z
        .string()
        .regex(/^[\w.+-]{1,64}$/, 'expected the name of a voice')
        .optional(),
      model: ModelName.optional(),
      /** 1 is as the voice speaks by itself. */
      speed: z.number().min(0.25).max(4).optional(),
      /** wav unless told otherwise. */
      format: z.enum(SPEECH_FORMATS).optional(),
    }),
    output: z.object({
      media: MediaHash,
      duration_s: z.number(),
      engine: z.string(),
      model: z.string().optional(),
      mime: z.string().optional(),
    }),
    result: z.object({
      artifact_id: Id,
      duration_s: z.number(),
      engine: z.string(),
      model: z.string().optional(),
      mime: z.string().optional(),
    }),
  },
} as const satisfies Record<
  string,
  { role: string; payload: z.ZodType; output: z.ZodType; result: z.ZodType }
>

export type Kind = keyof typeof KINDS

/** Whether a string names a kind that Earshot itself knows. */
export function isKind(name: string): name is Kind {
  return Object.hasOwn(KINDS, name)
}

/** Names of kinds, as `thumbnail` or `acme.invoice-total`. */
const Name = z
  .string()
  .regex(
    /^[a-z][a-z0-9_.-]{0,63}$/,
    'expected small letters, digits, dots, dashes and underscores, up to 64, a letter first',
  )
const Role = z
  .string()
  .regex(
    /^[a-z][a-z0-9_]{0,63}$/,
    'expected small letters, digits and underscores, up to 64, a letter first',
  )
/** JSON Schema, draft 7. */
const JsonSchema = z.record(z.string(), z.unknown())

/**
 * What the mesh is told of a kind: the body of POST /v1/kinds. Schemas are JSON Schema, draft 7.
 */
export const KindRegistration = z.strictObject({
  kind: Name,
  role: Role,
  /** Of its jobs, unless one says otherwise; higher runs first. */
  priority: z.number().int().min(-1000).max(1000).default(0),
  /** How often one of its jobs may fail by its own guilt. */
  max_tries: z.number().int().min(1).max(100).default(3),
  class: z.enum(JOB_CLASSES).default('batch'),
  /** Seconds that one of its jobs may run without a sign of progress. */
  silence_s: z
    .number()
    .positive()
    .max(7 * 86_400)
    .default(600),
  payload_schema: JsonSchema.optional(),
  result_schema: JsonSchema.optional(),
})
export type KindRegistration = z.output<typeof KindRegistration>

/** A payload is a JSON object. */
export type PayloadSchema = z.ZodType<unknown, Record<string, unknown>>

/** A kind of your own; made by {@link defineKind}. */
export type KindDefinition<
  Name extends string = string,
  P extends PayloadSchema = PayloadSchema,
  R extends z.ZodType = z.ZodType,
> = {
  readonly kind: Name
  readonly role: string
  readonly payload: P
  readonly result: R
  /** What the mesh is told of it. */
  readonly registration: KindRegistration
}

/** A kind: one of Earshot's own by its name, one of yours by its definition. */
export type KindRef = Kind | KindDefinition
export type KindName<K extends KindRef> = K extends KindDefinition ? K['kind'] : K
type SchemasOf<K extends KindRef> = K extends Kind
  ? (typeof KINDS)[K]
  : K extends KindDefinition
    ? K
    : never
/** What is enqueued. */
export type Payload<K extends KindRef> = z.input<SchemasOf<K>['payload']>
/** What a handler of a built-in kind gives back. */
export type Output<K extends Kind> = z.input<(typeof KINDS)[K]['output']>
/** What is kept on the job, as anyone who waits for it gets it. */
export type Result<K extends KindRef> = z.output<SchemasOf<K>['result']>
