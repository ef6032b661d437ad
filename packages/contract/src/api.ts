import { z } from 'zod'
import { JOB_CLASSES } from './classes.ts'

/** Grows when an old worker or client would misunderstand a new mesh; see `nodes.protocol`. */
export const PROTOCOL = 2

export const JOB_STATUSES = [
  'blocked',
  'pending',
  'assigned',
  'running',
  'completed',
  'failed',
  'cancelled',
] as const
export type JobStatus = (typeof JOB_STATUSES)[number]
export const isFinal = (status: JobStatus): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled'

/**
 * Which jobs to cancel or retry; all that is given must hold. `older_s`: seconds since it ended, or
 * was submitted where it has not.
 */
export type JobChoice = {
  ids?: readonly number[]
  status?: readonly JobStatus[]
  kind?: string
  node?: string
  older_s?: number
}

const Bounds = z
  .strictObject({ '>=': z.number(), '>': z.number(), '<=': z.number(), '<': z.number() })
  .partial()
  .refine((bounds) => Object.keys(bounds).length > 0, 'expected a bound such as {">=": 8}')

/** Any other value, or none: `{"not": "attic"}`. */
const Not = z.strictObject({ not: z.union([z.string(), z.number()]) })

/**
 * What `requires` may say of a tag: that it equals a value, is there (`true`), fits a pattern
 * (`"nvidia-*"`), does neither (`{"not": …}`), or lies within bounds (`{">=": 8}`). The tag `node`
 * is the node's id: `{"node": "attic"}` pins a job to it.
 */
export const Requires = z.record(
  z.string().min(1),
  z.union([z.string(), z.number(), z.boolean(), Bounds, Not]),
)
export type Requires = z.infer<typeof Requires>

/** A job by its id, or an earlier one of the same request by its place: `"#1"` is the first. */
export const JobRef = z.union([
  z.number().int().positive(),
  z
    .string()
    .regex(/^#[1-9]\d{0,3}$/, 'expected a job\'s id, or "#1" for the first job of this request'),
])

/**
 * A job to wait for, and what to do when it ends without success: fail with it (the default), run
 * all the same, or be skipped.
 */
export const Parent = z.strictObject({
  job: JobRef,
  policy: z.enum(['fail', 'run', 'skip']).default('fail'),
})

/** Settings of one enqueued job. Times are ISO 8601 with a zone; priority: higher runs first. */
export const EnqueueOptions = z
  .object({
    requires: Requires.refine(
      (needs) => Object.keys(needs).length <= 100,
      'expected at most 100 tags',
    ).optional(),
    priority: z.number().int().min(-1000).max(1000).optional(),
    /** As its kind is, unless given: `speak` is interactive, all else batch. */
    class: z.enum(JOB_CLASSES).optional(),
    run_at: z.iso.datetime({ offset: true }).optional(),
    deadline: z.iso.datetime({ offset: true }).optional(),
    /**
     * A repeat with the same key, kind and payload answers with the first job's id; other work is
     * refused.
     */
    idempotency_key: z.string().min(1).max(500).optional(),
    /** How often the job may fail by its own guilt. */
    max_tries: z.number().int().min(1).max(100).optional(),
    /** What it waits for; see {@link Parent}. */
    after: z
      .array(z.union([JobRef, Parent]))
      .max(1000)
      .optional(),
  })
  .strict()
export type EnqueueOptions = z.infer<typeof EnqueueOptions>

/** The body of POST /v1/jobs is one of these, or `{ "jobs": [ … ] }` with up to 1,000. */
export const EnqueueRequest = EnqueueOptions.extend({
  kind: z.string(),
  payload: z.record(z.string(), z.unknown()).default({}),
}).strict()
export type EnqueueRequest = z.input<typeof EnqueueRequest>

export const TRANSCRIPT_FORMATS = ['txt', 'srt', 'vtt', 'json'] as const
export type TranscriptFormat = (typeof TRANSCRIPT_FORMATS)[number]
