import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import type { Database } from '@earshot/shared/db/database'
import { type Assignment, handBackJobs, takeAssignments } from '@earshot/shared/db/functions/jobs'
import { type Offer, meets } from '@earshot/shared/lanes'
import type { Log } from '@earshot/shared/log'
import { createLoop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/shared/monotonic'
import type { Node, Report } from './node.ts'
import { type Reporter, createReporter } from './report.ts'
import { judge } from './verdict.ts'

/** What a handler gets besides its job. */
export type JobContext = {
  /** Fires when the job is cancelled, its lease is lost, or the worker must stop now. */
  signal: AbortSignal
  /** A folder of this job's own, removed afterwards. */
  dir: string
  /** How far it is, 0 to 1. */
  progress(fraction: number): void
}
/** Runs one kind: input to output; no queue, no retry. Throws EarshotErrors with the reason when it cannot. */
export type Handler = (job: Assignment, context: JobContext) => Promise<unknown>

export type RunnerOptions = {
  db: Database
  node: Node
  offer: Offer
  handlers: Map<string, Handler>
  /** Where jobs get their folders. */
  dir: string
  progress: (job: number, fraction: number) => void
  log: Log
}

export type Runner = {
  start(): Promise<void>
  /** Looks for new assignments soon. */
  look(): void
  /** Compares what is in hand with what the database says. */
  onReport(report: Report): void
  /** Role to jobs that are no longer ours while their engine still winds down. */
  busy(): Record<string, number>
  /** Takes nothing more; resolves when all in hand has ended. When `hurry` fires, what is left is handed back. */
  stop(hurry: AbortSignal): Promise<void>
}

/** `running` is written only for what takes longer than this. */
const SHOW_RUNNING_MS = 200
const LEASE_CHECK_MS = 500
/** What cannot be reached now is tried again after 5 s, 10 s, 20 s … up to 5 minutes: a holder may be away for days. */
const AWAY_REST_S = 5
const LONGEST_REST_S = 300

type End = 'lost' | 'stopping'
type InHand = { job: Assignment; takenAt: number; abort: AbortController; reporting: boolean; done: Promise<void> }

/** Takes this node's assignments, runs each with its kind's handler and reports how it ended. */
export function createRunner(options: RunnerOptions): Runner {
  const { db, node, offer, handlers, dir, log } = options
  const hand = new Map<number, InHand>()
  const reporter: Reporter = createReporter({ db, node, log })
  let stopping = false
  let leaseTimer: NodeJS.Timeout | undefined

  async function take(): Promise<void> {
    if (stopping) return
    const takenAt = monotonicMs()
    for (const job of await takeAssignments(db.pool, node.id, node.incarnation, [...hand.keys()])) {
      const held: InHand = { job, takenAt, abort: new AbortController(), reporting: false, done: Promise.resolve() }
      hand.set(job.id, held)
      held.done = carryOut(held)
    }
  }
  // The timer is only the fallback of the fallback: NOTIFY and heartbeats wake it.
  const loop = createLoop({ everyMs: 10_000, work: take, log })

  async function carryOut(held: InHand): Promise<void> {
    const { job, abort } = held
    try {
      if (stopping) await handBack(job, 'This node is stopping.')
      else if (!canRun(job)) await handBack(job, `Node ${node.id} cannot run kind ${job.kind} with these needs.`, 'away')
      else await runAndReport(held)
    } catch (err) {
      // Only the database's absence gets here; the lease gives the job back.
      log.warn({ err, job: job.id }, 'A job could not be handed back; it is taken up again')
    } finally {
      hand.delete(job.id)
      if (abort.signal.aborted) node.beat()
    }
  }

  function canRun(job: Assignment): boolean {
    return handlers.has(job.kind) && meets(offer, job)
  }

  async function runAndReport(held: InHand): Promise<void> {
    const { job, abort } = held
    const about = { job: job.id, kind: job.kind, attempt: job.attempt }
    const showing = setTimeout(() => reporter.started(job), SHOW_RUNNING_MS)
    const began = performance.now()
    const judged = await run(held).then((output) => ({ outcome: { output } }), (err: unknown) => {
      if (!abort.signal.aborted) log.info({ ...about, err }, 'A job did not succeed')
      return judge(err)
    })
    clearTimeout(showing)
    const end = abort.signal.aborted ? (abort.signal.reason as End) : undefined
    if (end === 'lost') return
    if (end === 'stopping') return handBack(job, `Node ${node.id} stopped before it was done.`)
    if ('away' in judged) return handBack(job, judged.away, 'away')
    held.reporting = true
    const answer = await reporter.finished(job, judged.outcome, abort.signal)
    log.info({ ...about, answer, seconds: Math.round((performance.now() - began) / 100) / 10 }, 'A job ended')
  }

  async function run({ job, abort }: InHand): Promise<unknown> {
    const folder = path.join(dir, `${job.id}-${job.attempt}`)
    await mkdir(folder, { recursive: true })
    try {
      const progress = (fraction: number) => options.progress(job.id, fraction)
      return await handlers.get(job.kind)!(job, { signal: abort.signal, dir: folder, progress })
    } finally {
      // A scanner may still hold a file on Windows; a folder left over is removed at the next start, a result must not be lost to it.
      await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch((err: unknown) => log.warn({ err, folder }, 'A job\'s folder was not removed'))
    }
  }

  async function handBack(job: Assignment, sentence: string, cause: 'handed_back' | 'away' = 'handed_back'): Promise<void> {
    const delayS = cause === 'away' ? Math.min(LONGEST_REST_S, AWAY_REST_S * 2 ** (job.attempt - 1)) : 0
    await handBackJobs(db.pool, node.id, node.incarnation, [job], { sentence, cause, delayS })
  }

  function endAll(end: End): void {
    for (const held of hand.values()) held.abort.abort(end)
  }

  /** By this machine's own clock: a node that cannot reach the database must not work on what others were given. */
  function checkLease(): void {
    if (hand.size === 0 || monotonicMs() < node.leaseUntil()) return
    log.warn({ jobs: [...hand.keys()] }, 'The lease could not be renewed; what was in hand is dropped')
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
    look: () => loop.kick(),
    onReport({ held, askedAt }) {
      const ours = new Map(held.map((job) => [job.id, job.fence]))
      for (const { job, takenAt, abort, reporting } of hand.values()) {
        if (takenAt < askedAt && !reporting && ours.get(job.id) !== job.fence) abort.abort('lost' satisfies End)
      }
      if (held.some((job) => !hand.has(job.id))) loop.kick()
    },
    busy() {
      const counts: Record<string, number> = {}
      for (const { job, abort } of hand.values()) if (abort.signal.aborted) counts[job.role] = (counts[job.role] ?? 0) + 1
      return counts
    },
    async stop(hurry) {
      stopping = true
      await loop.stop()
      if (hurry.aborted) endAll('stopping')
      else hurry.addEventListener('abort', () => endAll('stopping'), { once: true })
      await Promise.all([...hand.values()].map((held) => held.done))
      clearInterval(leaseTimer)
    },
  }
}
