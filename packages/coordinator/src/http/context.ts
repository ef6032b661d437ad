import type { Config } from '@earshot/shared/config'
import type { Database } from '@earshot/db/database'
import type { Queryable } from '@earshot/db/functions/call'
import type { Log } from '@earshot/shared/log'
import type { MediaStore } from '@earshot/shared/media/store'
import type { RedisLink } from '@earshot/shared/transport/redis'
import type { Inbox } from '../inbox/inbox.ts'
import type { BodyTimes } from './body-times.ts'
import type { gateDatabase } from './database-gate.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { EventStream } from '../events/event-stream.ts'
import type { Uploads } from './openai/uploads.ts'
import type { ProgressBoard } from './progress-board.ts'
import type { AwaitedJobs } from '../jobs/awaited-jobs.ts'

export type HttpSettings = {
  host: string
  /** 0 picks a free one. */
  port: number
  /** Asked for in every request, on loopback too; needed once `host` is not loopback. */
  key?: string | undefined
  /**
   * Where workers and users on other boxes reach this coordinator; from host and port unless told.
   */
  url?: string | undefined
}

/** What the HTTP service is made of; see `createHttp`. */
export type HttpParts = {
  db: Database
  coordinatorId: string
  settings: HttpSettings
  media: MediaStore
  /** Asked about the files in it; media in the store never changes. */
  inbox?: Pick<Inbox, 'holds' | 'verify' | 'isGone'>
  /**
   * Where recordings lie that are kept for one answer only: used for nothing else, and emptied at
   * the start.
   */
  uploads: MediaStore
  /** The door for OpenAI's clients. */
  openaiApi?: Config['openaiApi']
  /** How long a search waits for the vector of its query; 1.5 s unless given. */
  embedWaitMs?: number
  /**
   * `mediaBytes`: the largest file that is taken in. `stuckMs`: for how long a follower of the
   * events may take nothing; 30 s unless given.
   */
  limits?: {
    mediaBytes?: number
    stuckMs?: number
    bodyTimes?: BodyTimes
    /** Queries of requests; as gateDatabase has them unless given. */
    queries?: Parameters<typeof gateDatabase>[1]
  }
  /** Of this coordinator; without it the service makes its own. */
  metrics?: Metrics
  /** What progress comes through, where there is one. */
  redis?: Pick<RedisLink, 'up'> | undefined
  /**
   * Told of each answer in JSON before it is written; what it throws takes the answer's place. For
   * tests.
   */
  onAnswer?: (route: string, status: number, answer: unknown) => void
  log: Log
  version: string
}

/** What the routes share. */
export type Context = Omit<HttpParts, 'uploads'> & {
  /** The pool as it is; that of `db` queues requests before it. */
  ungated: Queryable
  metrics: Metrics
  limits: { mediaBytes: number; stuckMs?: number }
  openaiApi: Config['openaiApi']
  embedWaitMs: number
  events: EventStream
  progress: ProgressBoard
  uploads: Uploads
  awaitedJobs: AwaitedJobs
  url: () => string
}
