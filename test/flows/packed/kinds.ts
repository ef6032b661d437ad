import { defineKind, z } from '@earshot/sdk'

/** Done once the file is there. */
export const awaitFile = defineKind({
  kind: 'test.await-file',
  role: 'testing',
  maxTries: 1,
  payload: z.object({ folder: z.string(), file: z.string().default('open') }),
  result: z.object({ found: z.iso.datetime().transform((at) => new Date(at)) }),
})
/** Gives back what it is told to. */
export const echo = defineKind({
  kind: 'test.echo',
  role: 'testing',
  maxTries: 1,
  payload: z.object({ say: z.unknown(), fail: z.boolean().optional() }),
  result: z.object({ said: z.string() }),
})
