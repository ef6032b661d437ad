import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import {
  type Assignment,
  type GivenToNode,
  type Outcome,
  handBackJobs,
  takeAssignments,
} from '@earshot/db/functions/jobs'
import { type Offer, laneText, meets } from '@earshot/shared/lanes'
import type { Log } from '@earshot/shared/log'
import { createLoop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/db/monotonic'
import { type End, type LocalJob, createLocalQueue } from './local-queue.ts'
import { type JobContext, createJobContext } from './job-context.ts'
import type { Measures } from './measure.ts'
import type { Node, Report } from './node.ts'
import { type Reporter, createReporter } from './report.ts'
import { watchSilence } from './silence.ts'
import { type JobStream, NO_STREAM } from './stream.ts'
import { judge } from './verdict.ts'

/**
 * Runs one kind: input to output; no queue, no retry. Throws EarshotErrors with the reason when it
 * cannot.
 */
export type Handler = (context: JobContext) => Promise<unknown>

export type RunnerOptions = {
  db: Database
  node: Node
  offer: Offer
  handlers: Map<string, Handler>
  /** Role to the number of jobs that run at once; `*` is the most of all roles together. */
  slots: Record<string, number>
  measures: Measures
  /** Where jobs get their folders. */
  dir: string
  progress: (job: number, fraction: number) => void
  streams: { open(job: Assignment): JobStream }
  /** A job found that an engine is not what it was taken for. */
  onMissing?: () => void
  log: Log
}

export type Runner = {
  start(): Promise<void>
  /** There are new assignments: takes up what came with the message, or else asks for them soon. */
  look(given?: GivenToNode): void
  /**
   * Hands back soon what has not been started: another node idles, or this one is to get nothing
   * more.
   */
  recall(): void
  /** Compares what is in hand with what the database says. */
  onReport(report: Report): void
  /** Role to jobs that are no longer ours while their engine still winds down. */
  busy(): Record<string, number>
  /**
   * Takes nothing more and hands back what has not been started; resolves when all in hand has
   * ended. When `hurry` fires, what is left is handed back.
   */
  stop(hurry: AbortSignal): Promise<void>
}

/** `running` is written only for what takes longer than this. */
const SHOW_RUNNING_MS = 200
const LEASE_CHECK_MS = 500
/**
 * What cannot be reached now is tried again after 5 s, 10 s, 20 s … up to 5 minutes: a holder may
 * be away for days.
 */
const AWAY_REST_S = 5
const LONGEST_REST_S = 300

/**
 * Takes this node's assignments, runs each with its kind's handler, no more at once than there are
 * slots, and reports how it ended.
 */
export function createRunner(options: RunnerOptions): Runner {
  const { db, node, offer, handlers, dir, log } = options
  const queue = createLocalQueue(options.slots)
  const reporter: Reporter = createReporter({ db, node, log })
  let stopping = false
  let recalled = false
  let leaseTimer: NodeJS.Timeout | undefined

  /**
   * What every line about a job says; made when there is a line to write, since it takes longer
   * than a short job.
   */
  const about = (job: Assignment): Log =>
    log.child({
      job: job.id,
      kind: job.kind,
      lane: laneText(job),
      attempt: job.attempt,
      tenant: job.tenant_id,
    })

  async function take(): Promise<void> {
    // One after the other: what is being handed back must not be taken up again meanwhile.
    if (recalled) {
      recalled = false
      await handBackWaiting('Handed back before it was started: it can start elsewhere sooner.')
    }
    if (stopping) return
    const takenAt = monotonicMs()
    await queue.during(async () =>
      queue.add(
        await takeAssignments(db.pool, node.id, node.incarnation, queue.ids(), node.token),
        takenAt,
      ),
    )
    begin()
  }

  /**
   * Takes up what came with a message, where it is this incarnation's and cannot have been taken
   * back since; false where the database is to be asked for it, or for some of it.
   */
  function takeGiven({ incarnation, at, jobs }: GivenToNode): boolean {
    if (stopping || recalled || incarnation !== node.incarnation || !node.isFresh(at)) return false
    const all = queue.add(jobs, monotonicMs())
    begin()
    return all
  }
  // The timer is only the fallback of the fallback: NOTIFY and heartbeats wake it.
  const loop = createLoop({ everyMs: 10_000, work: take, log })

  function begin(): void {
    if (stopping) return
    for (let held = queue.next(); held !== undefined; held = queue.next())
      held.done = carryOut(held)
  }

  async function carryOut(held: LocalJob): Promise<void> {
    const { job, abort } = held
    try {
      if (!canRun(job))
        await handBack(
          held,
          `Node ${node.id} cannot run kind ${job.kind} with these needs.`,
          'away',
        )
      else await runAndReport(held)
    } catch (err) {
      // Only the database's absence gets here; the lease gives the job back.
      about(job).warn({ err }, 'A job could not be handed back; it is taken up again')
    } finally {
      queue.remove(held)
      begin()
      if (abort.aborted) node.beat()
    }
  }

  function canRun(job: Assignment): boolean {
    return handlers.has(job.kind) && meets(offer, job)
  }

  async function runAndReport(held: LocalJob): Promise<void> {
    const { job, abort } = held
    if (log.isLevelEnabled('debug')) about(job).debug('A job begins')
    const showing = setTimeout(() => reporter.started(job), SHOW_RUNNING_MS)
    const began = performance.now()
    let hangs = false
    const stream = options.streams.open(job)
    if (stream !== NO_STREAM) abort.signal.addEventListener('abort', stream.cut)
    const judged = await run(held, stream).then(
      (output) => {
        options.measures.note(job.kind, (performance.now() - began) / 1000, output)
        return { outcome: { output } }
      },
      (err: unknown) => {
        if (!abort.aborted) about(job).info({ err }, 'A job did not succeed')
        hangs = err instanceof EarshotError && err.code === 'EARSHOT_SILENT'
        return judge(err)
      },
    )
    clearTimeout(showing)
    const seconds = (performance.now() - began) / 1000
    const end = abort.aborted ? (abort.reason as End) : undefined
    if (
      'outcome' in judged &&
      'error' in judged.outcome &&
      judged.outcome.error.code === 'EARSHOT_ENGINE_MISSING'
    )
      options.onMissing?.()
    if (end === 'lost') return
    if ('away' in judged || end !== undefined) stream.cut()
    if (end === 'stopping') return handBack(held, `Node ${node.id} stopped before it was done.`)
    if ('away' in judged) return handBack(held, judged.away, 'away')
    const told = stream.end(judged.outcome)
    if (hangs) return takeAway(held, judged.outcome)
    queue.report(held)
    // Short jobs that end while a report is on its way go with the next one, many at once.
    begin()
    const answer = await reporter.finished(job, { ...judged.outcome, ran_s: seconds }, abort)
    // Given up after the job was lost in an outage: the database may not know.
    held.settled = !abort.aborted
    await told
    if (log.isLevelEnabled('info'))
      about(job).info({ answer, seconds: Math.round(seconds * 10) / 10 }, 'A job ended')
  }

  /**
   * The job of a handler that hangs is reported as failed, and counts as winding down until the
   * handler ends, should it ever.
   */
  async function takeAway(held: LocalJob, outcome: Outcome): Promise<void> {
    about(held.job).error(
      'A job made no progress for longer than its kind may; it is taken from its handler, whose slot is lost until that ends',
    )
    await reporter.finished(held.job, outcome, held.abort)
    queue.disown(held)
    node.beat()
    void held.ended.then(() => {
      queue.release(held)
      begin()
      node.beat()
    })
  }

  /** Runs the handler. Returns early only when that is silent for too long. */
  async function run(held: LocalJob, { emit }: JobStream): Promise<unknown> {
    const { job, abort } = held
    const silence = watchSilence(job.silence_s)
    const progress = (fraction: number) => {
      silence.heard()
      options.progress(job.id, fraction)
    }
    const { context, remove } = createJobContext({
      job,
      progress,
      emit,
      signals: () => [abort.signal, silence.signal],
      folder: () => path.join(dir, `${job.id}-${job.attempt}`),
    })
    const work = handlers.get(job.kind)!(context).finally(() => {
      silence.stop()
      // A scanner may still hold a file on Windows; a folder left over is removed at the next
      // start, a result must not be lost to it.
      return remove()?.catch((err: unknown) =>
        about(job).warn({ err }, "A job's folder was not removed"),
      )
    })
    held.ended = work.then(
      () => {},
      () => {},
    )
    return Promise.race([work, silence.broken])
  }

  async function handBack(
    held: LocalJob,
    sentence: string,
    cause: 'handed_back' | 'away' = 'handed_back',
  ): Promise<void> {
    const { job } = held
    const delayS =
      cause === 'away' ? Math.min(LONGEST_REST_S, AWAY_REST_S * 2 ** (job.attempt - 1)) : 0
    await handBackJobs(
      db.pool,
      node.id,
      node.incarnation,
      [job],
      { sentence, cause, delayS },
      node.token,
    )
    held.settled = true
  }

  async function handBackWaiting(sentence: string): Promise<void> {
    const jobs = queue.leave()
    if (jobs.length === 0) return
    try {
      await handBackJobs(db.pool, node.id, node.incarnation, jobs, { sentence }, node.token)
      queue.left()
    } finally {
      queue.stay()
      begin()
    }
  }

  function endAll(end: End): void {
    if (end === 'lost') queue.drop(() => true)
    for (const held of queue.started()) held.abort.abort(end)
  }

  /**
   * By this machine's own clock: a node that cannot reach the database must not work on what others
   * were given.
   */
  function checkLease(): void {
    if (queue.ids().length === 0 || monotonicMs() < node.leaseUntil()) return
    log.warn({ jobs: queue.ids() }, 'The lease could not be renewed; what was in hand is dropped')
    endAll('lost')
  }

  return {
    async start() {
      await rm(dir, { recursive: true, force: true })
      await mkdir(dir, { recursive: true })
      // On the embedded database the lease is never swept: database and worker stop together.
      if (!db.embedded) leaseTimer = setInterval(checkLease, LEASE_CHECK_MS)
      loop.start()
      loop.kick()
    },
    look(given) {
      if (given === undefined || !takeGiven(given)) loop.kick()
    },
    recall() {
      recalled = true
      loop.kick()
    },
    onReport({ held, askedAt }) {
      const ours = new Map(held.map((job) => [job.id, job.fence]))
      const isGone = ({ job, takenAt }: LocalJob) =>
        takenAt < askedAt && ours.get(job.id) !== job.fence
      queue.drop(isGone)
      for (const one of queue.started())
        if (one.state !== 'reporting' && isGone(one)) one.abort.abort('lost' satisfies End)
      if (held.some((job) => !queue.has(job.id, job.fence))) loop.kick()
    },
    busy: queue.busy,
    async stop(hurry) {
      stopping = true
      await loop.stop()
      if (hurry.aborted) endAll('stopping')
      else hurry.addEventListener('abort', () => endAll('stopping'), { once: true })
      // What cannot be handed back now goes back when the node leaves, or when its lease ends.
      await handBackWaiting(`Node ${node.id} stopped before it was started.`).catch(
        (err: unknown) => log.warn({ err }, 'Unstarted jobs could not be handed back'),
      )
      await Promise.all(queue.started().map((held) => held.done))
      clearInterval(leaseTimer)
    },
  }
}
