import { z } from 'zod'

/** One heard word: times in seconds from the start of the recording, confidence 0 to 1. */
export const Word = z.object({
  text: z.string(),
  start_s: z.number().nonnegative(),
  end_s: z.number().nonnegative(),
  confidence: z.number().min(0).max(1).optional(),
})
export type Word = z.infer<typeof Word>

/** A stretch of speech between two pauses, or a paragraph of a text (which has no times). */
export const Segment = z.object({
  start_s: z.number().nonnegative().nullable(),
  end_s: z.number().nonnegative().nullable(),
  text: z.string(),
  confidence: z.number().min(0).max(1).nullable(),
  /** Empty where the engine has no word times. */
  words: z.array(Word),
})
export type Segment = z.infer<typeof Segment>

/** Whole segments, about 60 to 200 words, with the vector of their text. */
export const Chunk = z.object({
  start_s: z.number().nonnegative().nullable(),
  end_s: z.number().nonnegative().nullable(),
  text: z.string(),
  /** The model that made the vector; vectors of different models are never compared. */
  model: z.string(),
  /**
   * pgvector's text form, `[0.1,0.2]`: a JSON array of numbers costs the database three times as
   * much.
   */
  embedding: z.string(),
})
export type Chunk = z.infer<typeof Chunk>
