import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '@earshot/db/database'
import { EarshotError } from '@earshot/contract'
import {
  type Fenced,
  type FinishAnswer,
  type Outcome,
  finishJobs,
  startJobs,
} from '@earshot/db/functions/jobs'
import type { Log } from '@earshot/shared/log'

/** How long to rest between two tries to reach the database. */
const RETRY_MS = 500

type Ending = { readonly aborted: boolean }
type Waiting = Fenced & { outcome: Outcome; lost: Ending; resolve: (answer: FinishAnswer) => void }

export type Reporter = {
  /** Marks a job as running, together with others. */
  started(job: Fenced): void
  /**
   * Reports how a job ended and resolves with the database's answer. While the database cannot be
   * reached it tries on, until `lost` says that the job is no longer ours; then it resolves with
   * `lost`.
   */
  finished(job: Fenced, outcome: Outcome, lost: Ending): Promise<FinishAnswer>
}

/**
 * Reports for one node: what ends while a report is under way goes with the next, many in one round
 * trip.
 */
export function createReporter(options: {
  db: Database
  node: { id: string; readonly incarnation: number; readonly token: string | null }
  log: Log
}): Reporter {
  const { db, node, log } = options
  let starting: Fenced[] = []
  let ending: Waiting[] = []
  let sendingStarts = false
  let sendingEnds = false

  async function sendStarts(): Promise<void> {
    if (sendingStarts) return
    sendingStarts = true
    while (starting.length > 0) {
      const batch = starting
      starting = []
      // `running` is for people to see; a job that misses it is none the worse.
      await startJobs(db.pool, node.id, node.incarnation, batch, node.token).catch((err: unknown) =>
        log.debug({ err }, 'Starts not reported'),
      )
    }
    sendingStarts = false
  }

  async function sendEnds(): Promise<void> {
    if (sendingEnds) return
    sendingEnds = true
    while (ending.length > 0) {
      // Short jobs that began together end in the same turn of the event loop, and go together.
      await new Promise(setImmediate)
      const batch = ending
      ending = []
      const failed = await send(batch)
      ending.push(...dropLost(failed))
      if (ending.length > 0 && failed.length > 0) await sleep(RETRY_MS)
    }
    sendingEnds = false
  }

  function sendAgain(jobs: Waiting[]): void {
    ending.push(...dropLost(jobs))
    void sendEnds()
  }

  /** Returns those that are to be sent again. */
  async function send(batch: Waiting[]): Promise<Waiting[]> {
    try {
      const answers = await finishJobs(db.pool, node.id, node.incarnation, batch, node.token)
      const byId = new Map(answers.map(({ id, answer }) => [id, answer]))
      const answerOf = ({ id }: Waiting) => byId.get(id) ?? 'lost'
      const busy = batch.filter((job) => answerOf(job) === 'busy')
      for (const job of batch) if (!busy.includes(job)) job.resolve(answerOf(job))
      if (busy.length > 0)
        log.debug(
          { jobs: busy.map((job) => job.id) },
          'Another transaction holds jobs that ended; their results are sent again',
        )
      // Apart from the others: what is free does not wait for them.
      if (busy.length > 0) setTimeout(() => sendAgain(busy), RETRY_MS)
      return []
    } catch (err) {
      log.warn(
        { err, jobs: batch.map((job) => job.id) },
        'Results could not be stored; they are kept and sent again',
      )
      const code = codeOf(err)
      const isRefused = ABOUT_DATA.test(code)
      if (batch.length === 1) return isRefused ? batch.map((job) => refused(job, err)) : batch
      if (!isRefused && !MAY_BE_ONE.test(code)) return batch
      // One of them cannot be stored: alone, each shows whether it is the one.
      return (await Promise.all(batch.map((job) => send([job])))).flat()
    }
  }

  return {
    started(job) {
      starting.push(job)
      void sendStarts()
    },
    finished(job, outcome, lost) {
      return new Promise((resolve) => {
        ending.push({ id: job.id, fence: job.fence, outcome, lost, resolve })
        void sendEnds()
      })
    },
  }
}

function dropLost(jobs: Waiting[]): Waiting[] {
  for (const job of jobs) if (job.lost.aborted) job.resolve('lost')
  return jobs.filter((job) => !job.lost.aborted)
}

/**
 * What PostgreSQL says of the data itself, by class of SQLSTATE. Anything else may pass: a
 * function, table or right that is missing (42) and an internal error (XX) come with a schema
 * update, and tell nothing of the result.
 */
const ABOUT_DATA = /^(22|23|54|P0)[0-9A-Z]{3}$/
/** What may be about one statement and not about the whole database. */
const MAY_BE_ONE = /^(0A|42|XX)[0-9A-Z]{3}$/

function codeOf(err: unknown): string {
  const cause = err instanceof EarshotError ? (err.cause ?? err) : err
  return cause instanceof Error && 'code' in cause ? String(cause.code) : ''
}

/**
 * The database will not have this result: the job fails with the reason, instead of being sent
 * forever.
 */
function refused(job: Waiting, err: unknown): Waiting {
  const message = err instanceof Error ? err.message : String(err)
  const outcome: Outcome = {
    error: {
      code: 'EARSHOT_RESULT_REFUSED',
      message: `The database refused the result of job ${job.id}: ${message}`,
      verdict: 'final',
    },
  }
  return { ...job, outcome }
}
