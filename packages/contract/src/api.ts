import { z } from 'zod'
import { JOB_CLASSES, type JobClass } from './classes.ts'
import type { ErrorCode } from './errors.ts'
import type { KindName, KindRef, Payload, Result } from './kinds.ts'

/** Grows when an old worker or client would misunderstand a new mesh; see `nodes.protocol`. */
export const PROTOCOL = 1

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

/** Which jobs to cancel or retry; all that is given must hold. `older_s`: seconds since it ended, or was submitted where it has not. */
export type JobChoice = {
  ids?: readonly number[]
  status?: readonly JobStatus[]
  kind?: string
  node?: string
  older_s?: number
}

/** The answer to cancelling and retrying: the ids that were changed, or, with `dry_run`, that would be. */
export type JobAction<Done extends 'cancelled' | 'retried'> = { [key in Done]: number[] } & {
  dry_run?: true
}

export type NodeStatus = 'online' | 'degraded' | 'offline'
export type DocumentStatus = 'queued' | 'processing' | 'ready' | 'failed'

const Bounds = z
  .strictObject({ '>=': z.number(), '>': z.number(), '<=': z.number(), '<': z.number() })
  .partial()
  .refine((bounds) => Object.keys(bounds).length > 0, 'expected a bound such as {">=": 8}')

/** Any other value, or none: `{"not": "attic"}`. */
const Not = z.strictObject({ not: z.union([z.string(), z.number()]) })

/**
 * What `requires` may say of a tag: that it equals a value, is there (`true`), fits a pattern (`"nvidia-*"`), does neither (`{"not": …}`), or lies within
 * bounds (`{">=": 8}`). The tag `node` is the node's id: `{"node": "attic"}` pins a job to it.
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
 * A job to wait for, and what to do when it ends without success: fail with it (the default), run all the same, or be skipped.
 */
export const Parent = z.strictObject({
  job: JobRef,
  policy: z.enum(['fail', 'run', 'skip']).default('fail'),
})

/** Settings of one enqueued job. Times are ISO 8601 with a zone; priority: higher runs first. */
export const EnqueueOptions = z
  .object({
    requires: Requires.optional(),
    priority: z.number().int().min(-1000).max(1000).optional(),
    /** As its kind is, unless given: `speak` is interactive, all else batch. */
    class: z.enum(JOB_CLASSES).optional(),
    run_at: z.iso.datetime({ offset: true }).optional(),
    deadline: z.iso.datetime({ offset: true }).optional(),
    /** A repeat with the same key, kind and payload answers with the first job's id; other work is refused. */
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

/** The answer to POST /v1/jobs: the ids in the order of the request. `duplicate`: an earlier job with the same key was found. */
export type Enqueued = { id: number; duplicate: boolean }

/** One job as GET /v1/jobs/:id shows it. Times are ISO 8601 in UTC. */
export type JobView<K extends KindRef = KindRef> = {
  id: number
  kind: KindName<K>
  role: string
  requires: Requires
  status: JobStatus
  assigned_node: string | null
  attempt: number
  tries: number
  max_tries: number
  priority: number
  class: JobClass
  payload: Payload<K>
  result: Result<K> | null
  /** Why it failed, or why it waits again; the code is null when it went back without any failure, as after a node's restart. */
  error: { code: ErrorCode | null; message: string } | null
  document_id: number | null
  /** 0 to 1 while a worker reports it, otherwise null. */
  progress: number | null
  run_at: string
  deadline: string | null
  created_at: string
  assigned_at: string | null
  finished_at: string | null
  /** Only on GET /v1/jobs/:id: what happened to it, oldest first. */
  history?: EventView[]
}

/**
 * A role of a node that gets no work, since different jobs kept failing there; from `probe_at` on it gets one job at a time, and the
 * first success ends it. Role `*` is all of them: a person's decision, until the node is resumed.
 */
export type QuarantineView = {
  role: string
  reason: string
  since: string
  probe_at: string | null
}

export type NodeView = {
  id: string
  name: string
  host: string | null
  port: number | null
  incarnation: number
  version: string
  protocol: number
  status: NodeStatus
  /** Why it gets no work although it is up, in a sentence; null when it does. */
  reason: string | null
  /** A person drained it: it finishes what it has and gets nothing more until it is resumed. */
  drained: boolean
  quarantines: QuarantineView[]
  roles: string[]
  tags: Record<string, string | number | boolean>
  capabilities: Record<string, unknown>
  /** Role to the number of jobs it runs at once; `*` is the most of all roles together. */
  slots: Record<string, number>
  /** Kind to work done in a second, as it measured: seconds of audio for `transcribe`, jobs for all else; empty before the first. */
  speeds: Record<string, number>
  open_jobs: number
  last_seen: string
}

/** A lane that has work: jobs of one class with equal needs. */
export type LaneView = {
  role: string
  requires: Requires
  class: JobClass
  /** Jobs that are due and wait for a node, counted to 10,000, or to its share of 50,000. */
  waiting: number
  /** For how long the oldest of them has been due, in seconds. */
  oldest_s: number
  /** Why no node can run it now, in a sentence; null when one can, now or when it has room. */
  stuck: string | null
}

/** The answer to GET /v1/lanes: at most 100 lanes, by role. `at` is the database's clock, ISO 8601 in UTC. */
export type LanesView = { at: string; lanes: LaneView[] }

export type DocumentView = {
  id: number
  corpus: string
  title: string
  kind: 'audio' | 'text'
  status: DocumentStatus
  error: { code: ErrorCode; message: string } | null
  duration_s: number | null
  media: string | null
  node: string | null
  segments: number
  chunks: number
  job_id: number | null
  created_at: string
  ready_at: string | null
}

/** One line of GET /v1/search. `document` is the document's id; `node` is the node that transcribed or read it. */
export type Hit = {
  document: number
  title: string
  start_s: number | null
  end_s: number | null
  text: string
  score: number
  node: string | null
}
/**
 * Where the mesh has a model for meanings, `model` says that its vectors were searched too, else `note` why not; both are absent where it has none.
 */
export type SearchAnswer = { hits: Hit[]; model?: string; note?: string }

/**
 * One durable event. `id` is opaque: what Last-Event-ID carries. Types: job.queued, job.started, job.requeued, job.completed,
 * job.failed, job.cancelled, job.retried, job.suspected, document.ready, document.failed, node.online, node.degraded, node.offline, node.forgotten,
 * node.drained, node.quarantined, node.resumed.
 */
export type EventView = {
  id: string
  type: string
  at: string
  job_id: number | null
  document_id: number | null
  node: string | null
  data: Record<string, unknown>
}
/** A fleeting event, sent on the same stream without an id: how far a running job is, 0 to 1. */
export type ProgressEvent = { type: 'job.progress'; job_id: number; progress: number }

/** The answer to POST /v1/media. */
export type MediaView = { hash: string; size: number; duplicate: boolean }
/** The answer to POST /v1/documents (media already sent): what the CLI's `add` uses. */
export type AddedDocument = { document_id: number; job_id: number; duplicate: boolean }

export const TRANSCRIPT_FORMATS = ['txt', 'srt', 'vtt', 'json'] as const
export type TranscriptFormat = (typeof TRANSCRIPT_FORMATS)[number]

/** The answer to GET /healthz. `nodes` counts them by status. */
export type HealthView = {
  status: 'ok'
  version: string
  protocol: number
  database: 'embedded' | 'postgres'
  url: string
  nodes: { online: number; degraded: number; offline: number }
  /** Absent without REDIS_URL; while it is away the mesh goes on by NOTIFY, HTTP and heartbeats. */
  redis?: 'up' | 'away'
}

/** What is known of a file that a job made, such as the WAV of a `speak` job; GET /v1/artifacts/:id streams it. */
export type ArtifactView = { id: number; name: string; type: string; size: number; hash: string }

/** A sort of thing that is kept for a time. */
export type Prunable = {
  what: 'speech' | 'documents' | 'media' | 'archived' | 'events'
  /** Seconds; null: for good. */
  keep_s: number | null
  /** How many would go. */
  items: number
  /** Of files that this frees; null where it has none. */
  bytes: number | null
}
export type PruneView = {
  /** False where it was done. */
  dry_run: boolean
  things: Prunable[]
}
