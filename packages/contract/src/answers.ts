import { z } from 'zod'
import { JOB_STATUSES, Requires } from './api.ts'
import { JOB_CLASSES } from './classes.ts'
import { ToolCall } from './chat.ts'
import { ERRORS, type ErrorCode } from './errors.ts'
import type { KindName, KindRef, Payload, Result } from './kinds.ts'
import { KindRegistration } from './kinds.ts'
import { Segment } from './text.ts'

/*
 * What each route answers with. `/openapi.json` publishes these schemas, and the tests of the service hold every
 * answer against them. Times are ISO 8601 in UTC.
 */

const Id = z.number().int().nonnegative()
const Count = z.number().int().nonnegative()
const Time = z.string().describe('ISO 8601 in UTC')
const Fields = z.record(z.string(), z.unknown())
const Class = z.enum(JOB_CLASSES)
const Status = z.enum(JOB_STATUSES)
const Code = z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]])

/** What every failed request answers with, but for those of OpenAI's protocol. */
export const ErrorAnswer = z.object({
  error: z.object({
    code: Code,
    message: z.string(),
    field: z.string().optional(),
    hint: z.string().optional(),
  }),
})

/** GET /healthz. `nodes` counts them by status. */
export const HealthView = z.object({
  status: z.literal('ok'),
  version: z.string(),
  protocol: Count,
  database: z.enum(['embedded', 'postgres']),
  url: z.string(),
  nodes: z.object({ online: Count, degraded: Count, offline: Count }),
  redis: z
    .enum(['up', 'away'])
    .optional()
    .describe('Absent without REDIS_URL; while it is away the mesh uses NOTIFY and heartbeats'),
})
export type HealthView = z.infer<typeof HealthView>

/**
 * One durable event. Types: job.queued, job.started, job.requeued, job.completed, job.failed,
 * job.cancelled, job.retried, job.suspected, document.ready, document.failed, node.online,
 * node.degraded, node.offline, node.forgotten, node.drained, node.quarantined, node.resumed.
 */
export const EventView = z.object({
  id: z.string().describe('Opaque: what Last-Event-ID carries'),
  type: z.string(),
  at: Time,
  job_id: Id.nullable(),
  document_id: Id.nullable(),
  node: z.string().nullable(),
  data: Fields,
})
export type EventView = z.infer<typeof EventView>
/** A fleeting event, sent on the same stream without an id: how far a running job is, 0 to 1. */
export type ProgressEvent = { type: 'job.progress'; job_id: number; progress: number }

/** POST /v1/jobs: the id. `duplicate`: an earlier job with the same key was found. */
export const Enqueued = z.object({ id: Id, duplicate: z.boolean() })
export type Enqueued = z.infer<typeof Enqueued>
/** POST /v1/jobs with several: the ids in the order of the request. */
export const EnqueuedMany = z.object({ jobs: z.array(Enqueued) })

/** One job, as GET /v1/jobs/:id shows it. */
export const JobView = z.object({
  id: Id,
  kind: z.string(),
  role: z.string(),
  requires: Requires,
  status: Status,
  assigned_node: z.string().nullable(),
  attempt: Count,
  tries: Count,
  max_tries: Count,
  priority: z.number().int(),
  class: Class,
  title: z.string().nullable().describe('Of its payload, where that has one'),
  payload: Fields,
  result: z.unknown().describe('Null until the job is completed'),
  error: z
    .object({ code: Code.nullable(), message: z.string() })
    .nullable()
    .describe('Why it failed, or why it waits again; the code is null when it went back uncharged'),
  document_id: Id.nullable(),
  progress: z
    .number()
    .min(0)
    .max(1)
    .nullable()
    .describe('0 to 1 while a worker reports it, otherwise null'),
  run_at: Time,
  deadline: Time.nullable(),
  created_at: Time,
  assigned_at: Time.nullable(),
  finished_at: Time.nullable(),
  history: z
    .array(EventView)
    .optional()
    .describe('Only on GET /v1/jobs/:id: what happened to it, oldest first'),
})
/** One job; `K` names its kind, which gives payload and result their types. */
export type JobView<K extends KindRef = KindRef> = Omit<
  z.infer<typeof JobView>,
  'kind' | 'payload' | 'result'
> & { kind: KindName<K>; payload: Payload<K>; result: Result<K> | null }

/** One job of a list, which has payloads only when they are asked for. */
export const ListedJob = JobView.partial({ payload: true })
export type ListedJob = Omit<JobView, 'payload'> & Partial<Pick<JobView, 'payload'>>
/** GET /v1/jobs, newest first. */
export const JobList = z.object({ jobs: z.array(ListedJob) })

/** The ids that were changed, or, with `dry_run`, that would be. */
export const CancelledJobs = z.object({
  cancelled: z.array(Id),
  dry_run: z.literal(true).optional(),
})
export const RetriedJobs = z.object({ retried: z.array(Id), dry_run: z.literal(true).optional() })
export type JobAction<Done extends 'cancelled' | 'retried'> = { [key in Done]: number[] } & {
  dry_run?: true
}

/**
 * now: it could start there at once. later: when what stands in the way is over. never: the node
 * lacks something.
 */
export const WhyChance = z.enum(['now', 'later', 'never'])
export type WhyChance = z.infer<typeof WhyChance>

/** What one node has to say to one job. */
export const WhyNode = z.object({
  node: z.string(),
  chance: WhyChance,
  reasons: z
    .array(z.string())
    .describe('Short phrases, such as `tag vram_gb 8 < 12`; empty when it could start now'),
})
export type WhyNode = z.infer<typeof WhyNode>

/** GET /v1/jobs/:id/why. */
export const WhyView = z.object({
  id: Id,
  kind: z.string(),
  role: z.string(),
  requires: Requires,
  class: Class,
  status: Status,
  sentence: z.string().describe('The answer, in a sentence or two'),
  waits_for: z
    .array(z.object({ id: Id, status: Status }))
    .describe('For a blocked job: the parents that have not ended'),
  position: Count.nullable().describe('Its place among waiting jobs of equal needs, from 1'),
  before_in_other_lanes: Count.nullable().describe('Jobs before it in lanes that share its nodes'),
  expected_start: Time.nullable().describe('From free slots, the jobs before it and run times'),
  missing: z.array(z.string()).describe('What no known node offers, when none can ever run it'),
  nodes: z.array(WhyNode),
})
export type WhyView = z.infer<typeof WhyView>

export const NODE_STATUSES = ['online', 'degraded', 'offline'] as const
export type NodeStatus = (typeof NODE_STATUSES)[number]

/**
 * A role of a node that gets no work, since different jobs kept failing there; from `probe_at` on
 * it gets one job at a time, and the first success ends it. Role `*` is all of them: a person's
 * decision, until the node is resumed.
 */
export const QuarantineView = z.object({
  role: z.string(),
  reason: z.string(),
  since: Time,
  probe_at: Time.nullable(),
})
export type QuarantineView = z.infer<typeof QuarantineView>

export const NodeView = z.object({
  id: z.string(),
  name: z.string(),
  host: z.string().nullable(),
  port: z.number().int().nullable(),
  incarnation: Count,
  version: z.string(),
  protocol: Count,
  status: z.enum(NODE_STATUSES),
  reason: z
    .string()
    .nullable()
    .describe('Why it gets no work although it is up; null when it does'),
  drained: z.boolean().describe('A person drained it: it gets nothing more until it is resumed'),
  quarantines: z.array(QuarantineView),
  roles: z.array(z.string()),
  tags: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  capabilities: Fields,
  slots: z
    .record(z.string(), z.number())
    .describe('Role to the number of jobs it runs at once; `*` is the most of all roles together'),
  speeds: z
    .record(z.string(), z.number())
    .describe('Kind to measured work a second: seconds of audio for transcribe, else jobs'),
  open_jobs: Count,
  last_seen: Time,
})
export type NodeView = z.infer<typeof NodeView>
/** GET /v1/nodes, by id. */
export const NodeList = z.object({ nodes: z.array(NodeView) })

/** A lane that has work: jobs of one class with equal needs. */
export const LaneView = z.object({
  role: z.string(),
  requires: Requires,
  class: Class,
  waiting: Count.describe('Jobs that are due, counted to 10,000, or to its share of 50,000'),
  oldest_s: z.number().describe('For how long the oldest of them has been due, in seconds'),
  stuck: z.string().nullable().describe('Why no node can run it now; null when one can'),
})
export type LaneView = z.infer<typeof LaneView>
/** GET /v1/lanes: at most 100 lanes, by role. `at` is the database's clock. */
export const LanesView = z.object({ at: Time, lanes: z.array(LaneView) })
export type LanesView = z.infer<typeof LanesView>

export const DOCUMENT_STATUSES = ['queued', 'processing', 'ready', 'failed'] as const
export type DocumentStatus = (typeof DOCUMENT_STATUSES)[number]

export const DocumentView = z.object({
  id: Id,
  corpus: z.string(),
  title: z.string(),
  kind: z.enum(['audio', 'text']),
  status: z.enum(DOCUMENT_STATUSES),
  error: z.object({ code: Code, message: z.string() }).nullable(),
  duration_s: z.number().nullable(),
  no_speech: z.boolean().describe('A recording that is ready and has not a word'),
  level_db: z
    .number()
    .nullable()
    .describe('RMS of its loudest moments in dB of full scale; -100 is digital silence'),
  warnings: z.array(z.string()).describe('What is odd about the recording, a sentence each'),
  media: z.string().nullable(),
  node: z.string().nullable(),
  segments: Count,
  chunks: Count,
  job_id: Id.nullable(),
  created_at: Time,
  ready_at: Time.nullable(),
})
export type DocumentView = z.infer<typeof DocumentView>
/** GET /v1/documents, newest first. */
export const DocumentList = z.object({ documents: z.array(DocumentView) })
/** POST /v1/documents (media already sent): what `earshot add` uses. */
export const AddedDocument = z.object({ document_id: Id, job_id: Id, duplicate: z.boolean() })
export type AddedDocument = z.infer<typeof AddedDocument>
/** GET /v1/documents/:id/segments. */
export const SegmentList = z.object({ segments: z.array(Segment) })

/** One hit. `document` is the document's id; `node` is the node that transcribed or read it. */
export const Hit = z.object({
  document: Id,
  title: z.string(),
  start_s: z.number().nullable(),
  end_s: z.number().nullable(),
  text: z.string(),
  score: z.number(),
  node: z.string().nullable(),
})
export type Hit = z.infer<typeof Hit>
/**
 * GET /v1/search. `model`: its vectors were searched too; else `note` says why not; both absent
 * where there is none.
 */
export const SearchAnswer = z.object({
  hits: z.array(Hit),
  model: z.string().optional(),
  note: z.string().optional(),
})
export type SearchAnswer = z.infer<typeof SearchAnswer>

/** POST /v1/media. */
export const MediaView = z.object({ hash: z.string(), size: Count, duplicate: z.boolean() })
export type MediaView = z.infer<typeof MediaView>
/** POST /v1/media/:hash/verify. */
export const VerifiedMedia = z.object({ unchanged: z.boolean() })

/** A file that a job made, such as the sound of a `speak` job; GET /v1/artifacts/:id streams it. */
export const ArtifactView = z.object({
  id: Id,
  name: z.string(),
  type: z.string(),
  size: Count,
  hash: z.string(),
})
export type ArtifactView = z.infer<typeof ArtifactView>

/** A sort of thing that is kept for a time, and what of it would go. */
export const Prunable = z.object({
  what: z.enum(['speech', 'documents', 'media', 'archived', 'events']),
  keep_s: z.number().nullable().describe('Seconds; null: for good'),
  items: Count,
  bytes: z.number().nullable().describe('Of files that this frees; null where it has none'),
})
export type Prunable = z.infer<typeof Prunable>
/** POST /v1/prune. `dry_run` is false where it was done. */
export const PruneView = z.object({ dry_run: z.boolean(), things: z.array(Prunable) })
export type PruneView = z.infer<typeof PruneView>

/** POST /v1/progress and POST /v1/jobs/:id/stream: how many pieces were taken. */
export const HeardPieces = z.object({ heard: Count })

/** One kind, as GET /v1/kinds shows it. */
export const KindView = KindRegistration.omit({ payload_schema: true, result_schema: true }).extend(
  {
    built_in: z.boolean().describe("One of Earshot's own"),
    payload_schema: Fields.nullable(),
    result_schema: Fields.nullable(),
  },
)
export type KindView = z.infer<typeof KindView>
export const KindList = z.object({ kinds: z.array(KindView) })

/** One model of GET /v1/models, in OpenAI's shape, with what the mesh knows besides. */
export const OpenAiModel = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: z.number(),
  owned_by: z.string(),
  kinds: z.array(z.string()),
  nodes: z.array(z.string()),
  size_bytes: z.number().optional(),
  dimensions: z.number().optional(),
  context: z.number().optional(),
  languages: z.array(z.string()).optional(),
})
export const OpenAiModels = z.object({ object: z.literal('list'), data: z.array(OpenAiModel) })

const Usage = z.object({
  prompt_tokens: Count,
  completion_tokens: Count.optional(),
  total_tokens: Count,
})

/** POST /v1/chat/completions without `stream`. */
export const ChatCompletion = z.object({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.number(),
  model: z.string(),
  system_fingerprint: z.string().nullable(),
  choices: z.array(
    z.object({
      index: Count,
      message: z.object({
        role: z.literal('assistant'),
        content: z.string().nullable(),
        refusal: z.string().nullable().optional(),
        tool_calls: z.array(ToolCall).optional(),
      }),
      logprobs: z.null().optional(),
      finish_reason: z.string(),
    }),
  ),
  usage: Usage,
})

/**
 * POST /v1/embeddings; with encoding_format=base64 a vector is the bytes of 32-bit floats,
 * little-endian.
 */
export const EmbeddingList = z.object({
  object: z.literal('list'),
  data: z.array(
    z.object({
      object: z.literal('embedding'),
      index: Count,
      embedding: z.union([z.array(z.number()), z.string()]),
    }),
  ),
  model: z.string(),
  usage: Usage,
})

/**
 * POST /v1/audio/transcriptions as `json` or `verbose_json`; with async=1 the job that will
 * transcribe (202).
 */
export const OpenAiTranscription = z.union([
  z.object({
    text: z.string(),
    task: z.enum(['transcribe', 'translate']).optional(),
    language: z.string().optional(),
    duration: z.number().optional(),
    model: z.string().optional(),
    segments: z.array(Fields).optional(),
    words: z.array(z.object({ word: z.string(), start: z.number(), end: z.number() })).optional(),
  }),
  z.object({ id: Id, document_id: Id, duplicate: z.boolean(), status: z.literal('queued') }),
])
