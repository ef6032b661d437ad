import { EnqueueRequest, KindRegistration } from '@earshot/contract'
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

const job = { about: 'The job' }
const node = { about: 'The node' }

/**
 * Every route of the service, by method and path, and what can be said of it: /openapi.json is made of this. A test holds it against the
 * routes there are, both ways.
 */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  'GET /healthz': {
    about: 'Whether coordinator and database work.',
    answer: { about: 'They do' },
    access: 'open',
  },
  'GET /openapi.json': { about: 'This description.', answer: { about: 'OpenAPI 3.1' } },
  'GET /metrics': {
    about: 'Figures for Prometheus.',
    answer: { type: 'text/plain', about: "Prometheus' text format" },
  },

  'POST /v1/jobs': {
    about: 'Enqueues one job, or up to 1,000, all or none.',
    body: z.union([EnqueueRequest, ManyJobs]),
    answer: { status: 201, about: 'The ids, in the order asked' },
  },
  'GET /v1/jobs': {
    about: 'Lists jobs, newest first.',
    query: JobListQuery,
    answer: { about: 'The jobs' },
  },
  'GET /v1/jobs/:id': { about: 'Shows one job with its history.', answer: job },
  'GET /v1/jobs/:id/why': {
    about: 'Says why a job waits, runs or ended, node by node.',
    answer: { about: 'The reasons' },
  },
  'POST /v1/jobs/:id/cancel': {
    about: 'Cancels one job.',
    answer: { about: 'Its id, unless it had ended' },
  },
  'POST /v1/jobs/:id/retry': {
    about: 'Tries one job again.',
    answer: { about: 'Its id, unless it is open' },
  },
  'POST /v1/jobs/cancel': {
    about: 'Cancels jobs by a choice; all that is given must hold.',
    body: JobChoiceBody,
    answer: { about: 'The ids that were cancelled' },
  },
  'POST /v1/jobs/retry': {
    about: 'Tries jobs again by a choice; all that is given must hold.',
    body: JobChoiceBody,
    answer: { about: 'The ids that are tried again' },
  },
  'POST /v1/jobs/:id/stream': {
    about:
      'For workers: the answer of a job that somebody waits for, as it comes, the last line with `done`.',
    body: 'ndjson',
    headers: { 'X-Earshot-Attempt': 'The attempt of the job' },
    answer: { about: 'How many pieces were heard' },
  },

  'GET /v1/events': {
    about: 'What happens, as server-sent events.',
    query: EventQuery,
    answer: { type: 'text/event-stream', about: 'Events as they come' },
  },
  'POST /v1/progress': {
    about: 'For workers: how far their jobs are.',
    body: ProgressBody,
    answer: { about: 'How many were heard' },
  },

  'POST /v1/media': {
    about: 'Takes in a file.',
    query: UploadQuery,
    body: 'bytes',
    answer: { status: 201, about: 'Its hash and size' },
  },
  'GET /v1/media/:hash': {
    about: 'Hands out a file.',
    answer: { type: 'application/octet-stream', about: 'The file' },
    access: 'signed',
  },
  'POST /v1/media/:hash/verify': {
    about: 'Whether a file is still what was taken in.',
    answer: { about: 'Whether it is' },
    access: 'signed',
  },
  'GET /v1/artifacts/:id': {
    about: 'Hands out a file that a job made.',
    answer: { type: ['audio/wav', 'audio/mpeg', 'application/octet-stream'], about: 'The file' },
  },

  'POST /v1/documents': {
    about: 'Makes a document of media that was sent.',
    body: DocumentBody,
    answer: { status: 201, about: 'Document and job; 200 when the content is known' },
  },
  'GET /v1/documents': {
    about: 'Lists documents, newest first.',
    query: DocumentListQuery,
    answer: { about: 'The documents' },
  },
  'GET /v1/documents/:id': { about: 'Shows one document.', answer: { about: 'The document' } },
  'GET /v1/documents/:id/segments': {
    about: 'What was heard, with times and words.',
    answer: { about: 'The segments' },
  },
  'GET /v1/documents/:id/transcript': {
    about: 'The text of a document.',
    query: TranscriptQuery,
    answer: {
      type: ['text/plain', 'application/x-subrip', 'text/vtt', 'application/json'],
      about: 'The text',
    },
  },
  'GET /v1/search': {
    about: 'What was said where.',
    query: SearchQuery,
    answer: { about: 'The hits, best first' },
  },

  'GET /v1/kinds': {
    about: 'Lists the kinds of jobs.',
    answer: { about: 'The kinds, with their schemas' },
  },
  'POST /v1/kinds': {
    about: 'Makes a kind of your own known, or changes it.',
    body: KindRegistration,
    answer: { status: 201, about: 'The kind' },
  },
  'GET /v1/lanes': {
    about: 'What waits, and what stands in its way.',
    answer: { about: 'The lanes' },
  },
  'GET /v1/nodes': { about: 'Lists who takes part.', answer: { about: 'The nodes' } },
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
    answer: { about: 'How many of each sort, and the bytes of their files' },
  },

  ...OPENAI_OPERATIONS,
}
