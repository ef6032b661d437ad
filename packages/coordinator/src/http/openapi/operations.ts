import {
  AddedDocument,
  CancelledJobs,
  DocumentList,
  DocumentView,
  EnqueueRequest,
  Enqueued,
  EnqueuedMany,
  HealthView,
  HeardPieces,
  JobList,
  JobView,
  KindList,
  KindRegistration,
  KindView,
  LanesView,
  MediaView,
  NodeList,
  NodeView,
  PruneView,
  RetriedJobs,
  SearchAnswer,
  Segment,
  SegmentList,
  VerifiedMedia,
  WhyView,
} from '@earshot/contract'
import { z } from 'zod'
import { DocumentBody, DocumentListQuery, TranscriptQuery } from '../documents.ts'
import { EventQuery } from '../events.ts'
import { JobChoiceBody } from '../job-actions.ts'
import { JobListQuery, ManyJobs } from '../jobs.ts'
import { UploadQuery } from '../media.ts'
import { QuarantineBody } from '../nodes.ts'
import { ProgressBody } from '../progress.ts'
import { PruneBody } from '../prune.ts'
import { SearchQuery } from '../search.ts'
import { OPENAI_OPERATIONS } from './openai-operations.ts'
import type { Operation } from './operation.ts'

const node = { about: 'The node', schema: NodeView }

/**
 * Every route of the service, by method and path, and what can be said of it: /openapi.json is made
 * of this. A test holds it against the routes there are, both ways.
 */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  'GET /healthz': {
    about: 'Whether coordinator and database work.',
    answer: { about: 'They do', schema: HealthView },
    access: 'open',
  },
  'GET /openapi.json': {
    about: 'This description.',
    answer: { about: 'OpenAPI 3.1', schema: z.record(z.string(), z.unknown()) },
  },
  'GET /metrics': {
    about: 'Figures for Prometheus.',
    answer: { type: 'text/plain', about: "Prometheus' text format" },
  },

  'POST /v1/jobs': {
    about: 'Enqueues one job, or up to 1,000, all or none.',
    body: z.union([EnqueueRequest, ManyJobs]),
    answer: {
      status: 201,
      about: 'The ids, in the order asked',
      schema: z.union([Enqueued, EnqueuedMany]),
    },
  },
  'GET /v1/jobs': {
    about: 'Lists jobs, newest first.',
    query: JobListQuery,
    answer: { about: 'The jobs', schema: JobList },
  },
  'GET /v1/jobs/:id': {
    about: 'Shows one job with its history.',
    answer: { about: 'The job', schema: JobView },
  },
  'GET /v1/jobs/:id/why': {
    about: 'Says why a job waits, runs or ended, node by node.',
    answer: { about: 'The reasons', schema: WhyView },
  },
  'POST /v1/jobs/:id/cancel': {
    about: 'Cancels one job.',
    answer: { about: 'Its id, unless it had ended', schema: CancelledJobs },
  },
  'POST /v1/jobs/:id/retry': {
    about: 'Tries one job again.',
    answer: { about: 'Its id, unless it is open', schema: RetriedJobs },
  },
  'POST /v1/jobs/cancel': {
    about: 'Cancels jobs by a choice; all that is given must hold.',
    body: JobChoiceBody,
    answer: { about: 'The ids that were cancelled', schema: CancelledJobs },
  },
  'POST /v1/jobs/retry': {
    about: 'Tries jobs again by a choice; all that is given must hold.',
    body: JobChoiceBody,
    answer: { about: 'The ids that are tried again', schema: RetriedJobs },
  },
  'POST /v1/jobs/:id/stream': {
    about: 'For workers: the answer of an awaited job, piece by piece; the last line has `done`.',
    body: 'ndjson',
    headers: { 'X-Earshot-Attempt': 'The attempt of the job' },
    answer: { about: 'How many pieces arrived', schema: HeardPieces },
  },

  'GET /v1/events': {
    about: 'What happens, as server-sent events.',
    query: EventQuery,
    answer: { type: 'text/event-stream', about: 'Events as they come' },
  },
  'POST /v1/progress': {
    about: 'For workers: how far their jobs are.',
    body: ProgressBody,
    answer: { about: 'How many reports arrived', schema: HeardPieces },
  },

  'POST /v1/media': {
    about: 'Takes in a file.',
    query: UploadQuery,
    body: 'bytes',
    answer: { status: 201, about: 'Its hash and size', schema: MediaView },
  },
  'GET /v1/media/:hash': {
    about: 'Hands out a file.',
    answer: { type: 'application/octet-stream', about: 'The file' },
    access: 'signed',
  },
  'POST /v1/media/:hash/verify': {
    about: 'Whether a file is still what was taken in.',
    answer: { about: 'Whether it is', schema: VerifiedMedia },
    access: 'signed',
  },
  'GET /v1/artifacts/:id': {
    about: 'Hands out a file that a job made.',
    answer: { type: ['audio/wav', 'audio/mpeg', 'application/octet-stream'], about: 'The file' },
  },

  'POST /v1/documents': {
    about: 'Makes a document of media that was sent.',
    body: DocumentBody,
    answer: {
      status: 201,
      about: 'Document and job; 200 when the content is known',
      schema: AddedDocument,
    },
  },
  'GET /v1/documents': {
    about: 'Lists documents, newest first.',
    query: DocumentListQuery,
    answer: { about: 'The documents', schema: DocumentList },
  },
  'GET /v1/documents/:id': {
    about: 'Shows one document.',
    answer: { about: 'The document', schema: DocumentView },
  },
  'GET /v1/documents/:id/segments': {
    about: 'The transcript in segments, with times and words.',
    answer: { about: 'The segments', schema: SegmentList },
  },
  'GET /v1/documents/:id/transcript': {
    about: 'The text of a document.',
    query: TranscriptQuery,
    answer: {
      type: ['text/plain', 'application/x-subrip', 'text/vtt', 'application/json'],
      about: 'The text',
      schema: z.object({
        document: z.object({
          id: z.number(),
          title: z.string(),
          duration_s: z.number().nullable(),
        }),
        segments: z.array(Segment),
      }),
    },
  },
  'GET /v1/search': {
    about: 'What was said where.',
    query: SearchQuery,
    answer: { about: 'The hits, best first', schema: SearchAnswer },
  },

  'GET /v1/kinds': {
    about: 'Lists the kinds of jobs.',
    answer: { about: 'The kinds, with their schemas', schema: KindList },
  },
  'POST /v1/kinds': {
    about: 'Makes a kind of your own known, or changes it.',
    body: KindRegistration,
    answer: { status: 201, about: 'The kind', schema: KindView },
  },
  'GET /v1/lanes': {
    about: 'What waits, and what stands in its way.',
    answer: { about: 'The lanes', schema: LanesView },
  },
  'GET /v1/nodes': {
    about: 'Lists who takes part.',
    answer: { about: 'The nodes', schema: NodeList },
  },
  'GET /v1/nodes/:id': { about: 'Shows one node.', answer: node },
  'POST /v1/nodes/:id/drain': {
    about: 'Gives a node nothing more until it is resumed.',
    answer: node,
  },
  'POST /v1/nodes/:id/resume': {
    about: 'Lets a drained or quarantined node work again.',
    answer: node,
  },
  'POST /v1/nodes/:id/quarantine': {
    about: 'Takes a node out until it is resumed; what it has goes back.',
    body: QuarantineBody,
    answer: node,
  },

  'POST /v1/prune': {
    about: 'Shows what is kept no longer; deletes it with `dry_run: false`.',
    body: PruneBody,
    answer: { about: 'How many of each sort, and the bytes of their files', schema: PruneView },
  },

  ...OPENAI_OPERATIONS,
}
