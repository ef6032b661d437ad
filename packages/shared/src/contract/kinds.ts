import { z } from 'zod'
import { Chunk, Segment } from './text.ts'

/** SHA-256 of a file's content, in hex: the name by which media travels. */
export const MediaHash = z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 hash: 64 hexadecimal digits')

/** Ids are drawn from a sequence; they stay far below 2^53, so a JSON number carries them. */
export const Id = z.number().int().positive()

/**
 * Every kind of job, with the role that runs it, what goes in (`payload`), what a handler gives back (`output`, stored by
 * the database in the same transaction that completes the job) and what is kept on the job (`result`).
 * sql/functions/finish_jobs.sql stores the outputs; the table earshot.job_kinds mirrors roles, for those who enqueue by SQL.
 */
export const KINDS = {
  /** Speech in a recording to segments of text. */
  transcribe: {
    role: 'stt_batch',
    payload: z.object({ media: MediaHash, document_id: Id.optional(), title: z.string().min(1).max(1000).optional() }),
    output: z.object({ duration_s: z.number().nonnegative(), engine: z.string(), segments: z.array(Segment) }),
    result: z.object({ document_id: Id, duration_s: z.number(), engine: z.string(), segments: z.number().int() }),
  },
  /** A text file to segments, one a paragraph. */
  read: {
    role: 'rag_engine',
    payload: z.object({ media: MediaHash, document_id: Id.optional(), title: z.string().min(1).max(1000).optional() }),
    output: z.object({ segments: z.array(Segment) }),
    result: z.object({ document_id: Id, segments: z.number().int() }),
  },
  /** A document's segments to chunks with vectors; makes the document ready. */
  embed: {
    role: 'rag_engine',
    payload: z.object({ document_id: Id }),
    output: z.object({ chunks: z.array(Chunk) }),
    result: z.object({ document_id: Id, chunks: z.number().int() }),
  },
  /** Text to speech: a WAV file, kept as an artifact. */
  speak: {
    role: 'tts',
    payload: z.object({ text: z.string().trim().min(1).max(20_000), voice: z.string().regex(/^[\w-]{1,64}$/).optional() }),
    output: z.object({ media: MediaHash, duration_s: z.number(), engine: z.string() }),
    result: z.object({ artifact_id: Id, duration_s: z.number(), engine: z.string() }),
  },
} as const satisfies Record<string, { role: string; payload: z.ZodType; output: z.ZodType; result: z.ZodType }>

export type Kind = keyof typeof KINDS
export type Payload<K extends Kind> = z.input<(typeof KINDS)[K]['payload']>
export type Output<K extends Kind> = z.infer<(typeof KINDS)[K]['output']>
export type Result<K extends Kind> = z.infer<(typeof KINDS)[K]['result']>

/** Whether a string names a kind that Earshot itself knows. */
export function isKind(name: string): name is Kind {
  return Object.hasOwn(KINDS, name)
}
