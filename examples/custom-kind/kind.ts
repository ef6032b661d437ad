// A kind of job of your own: what goes in and what comes out. The worker and the program that
// enqueues import this file.
import { defineKind, z } from '@earshot/sdk'

export const wordCount = defineKind({
  kind: 'word-count',
  role: 'text_tools',
  payload: z.object({
    text: z.string().max(1_000_000),
    top: z.number().int().min(1).max(100).default(3),
  }),
  result: z.object({
    words: z.number().int(),
    distinct: z.number().int(),
    frequent: z.array(z.object({ word: z.string(), count: z.number().int() })),
  }),
})
