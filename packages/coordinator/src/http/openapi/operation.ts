import type { z } from 'zod'

/** What can be said of one route; see {@link OPERATIONS}. */
export type Operation = {
  /** What it does, in one sentence. */
  about: string
  query?: z.ZodType
  /** A body of JSON; `bytes`: of any type and size; `ndjson`: an object a line. */
  body?: z.ZodType | 'bytes' | 'ndjson'
  /** The fields of multipart/form-data, beside the file. */
  form?: z.ZodType
  /** Headers it needs, each with what it is. */
  headers?: Record<string, string>
  /**
   * The answer when all went well: status 200 and JSON unless told otherwise, and what it holds.
   */
  answer: {
    status?: number
    type?: string | readonly string[]
    about: string
    /** What the JSON holds. */
    schema?: z.ZodType
  }
  /** No one needs the key; or who shows a signature does not. */
  access?: 'open' | 'signed'
  /** The errors have OpenAI's shape. */
  openai?: true
}
