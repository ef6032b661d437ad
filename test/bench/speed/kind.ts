import { defineKind } from '@earshot/sdk'
import { z } from 'zod'

/** What is raced: a job that does nothing. `t`: when it was enqueued. */
export const noop = defineKind({
  kind: 'noop',
  role: 'noop',
  payload: z.object({ t: z.number().optional() }),
  result: z.object({}),
})
/**
 * Jobs at once in each worker process: what graphile-worker's own figures were made with, and the
 * mesh's too.
 */
export const CONCURRENCY = 24
/** What BullMQ's documentation advises for jobs that only wait; less was slower. */
export const CONCURRENCY_BULLMQ = 100
export const WORKERS = 2
