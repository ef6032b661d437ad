import { once } from 'node:events'
import { EarshotError, ERRORS, type ErrorCode } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import type { Queryable } from '@earshot/db/functions/call'
import type { Submission } from '@earshot/db/functions/jobs'
import {
  type AwaitedState,
  beginAnswer,
  giveUpJob,
  renewWaiters,
  readAwaited,
  submitAwaitedJob,
} from '@earshot/db/functions/waiters'
import type { Log } from '@earshot/shared/log'
import { createLoop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/db/monotonic'
import { explain } from '../why/explain.ts'
import { readFacts } from '../why/read.ts'

/** A piece of an answer: tokens, a segment that was heard. */
export type Delta = Record<string, unknown>
export type Answered = { node: string | null; result: Record<string, unknown> }
/** Gets each piece of an answer in order; the next one comes once this has resolved. */
export type Hear = (delta: Delta, from: { id: number; node: string }) => Promise<void> | void

/** What a worker's stream is read into. */
export type Hearing = {
  /** Fires when no one waits any more. */
  readonly over: AbortSignal
  say(delta: Delta): Promise<void>
  /** The worker said that this was all; with the kind's output, or with what went wrong. */
  end(last: {
    output?: Record<string, unknown> | undefined
    error?: { code: string; message: string } | undefined
  }): void
  /** The stream ended without a last line. */
  broken(): void
}

export type AwaitedJobs = {
  /**
   * Enqueues a job whose answer someone waits for. When the signal fires, the job is cancelled,
   * wherever it is; one that could not be done in time, or at all, fails with what `answer` rejects
   * with. With `hear` the worker sends its answer piece by piece. `withinS`: how long it may take
   * in all, in seconds.
   *
   * `answer` rejects with what the job failed with; EARSHOT_NO_NODE when it was not begun in time;
   * EARSHOT_ANSWER_CUT when the answer broke off; the signal's reason.
   */
  ask(
    job: Submission,
    options: { withinS: number; signal: AbortSignal; hear?: Hear | undefined },
  ): Promise<{ id: number; answer: Promise<Answered> }>
  /**
   * The holder of a job begins to send. @throws EarshotError EARSHOT_CANCELLED when no one waits
   * for it, for this attempt, or from anyone who has not its fence
   */
  hearing(id: number, holder: { attempt: number; fence: string }): Promise<Hearing>
  /** Something changed: look now. */
  look(): void
  start(): void
  /**
   * Waits a few seconds for the answers that are on their way, then gives them up; at once when
   * hurried.
   */
  stop(hurry?: AbortSignal): Promise<void>
}

type Waiting = {
  id: number
  hear: Hear | undefined
  settle: PromiseWithResolvers<Answered>
  over: AbortController
  /** What has begun to be sent is not sent by another attempt. */
  begun: { attempt: number; node: string } | undefined
  streaming: boolean
  /** monotonicMs() when the stream broke off. */
  brokenAt: number | undefined
  /**
   * monotonicMs() since when it has been waiting for a node, or has been completed while its stream
   * goes on.
   */
  pendingSince: number | undefined
  completedSince: number | undefined
}

/**
 * Hints come with every change of the mesh; without one, it is looked this often while someone
 * waits.
 */
const LOOK_MS = 250
const KEEP_MS = 4_000
/** A worker that reports a failure cuts its stream first: its reason is worth waiting for. */
const REASON_MS = 400
/**
 * A stream is at its end before the result is reported; one that is not is not waited for longer.
 */
const TAIL_MS = 2_000
/** Most answers take seconds; someone wants this process to end. */
const GRACE_MS = 5_000

/**
 * The jobs whose answers this coordinator's clients wait for.
 *
 * @param options.submitBy what requests' jobs are submitted by; `db.pool` unless given
 * @param options.waitMs how long a job may wait for a node
 * @param options.url where workers reach this coordinator
 */
export function createAwaitedJobs({
  db,
  submitBy = db.pool,
  waitMs,
  url,
  log,
}: {
  db: Database
  submitBy?: Queryable
  waitMs: number
  url: () => string
  log: Log
}): AwaitedJobs {
  const waiting = new Map<number, Waiting>()
  const ending = new Set<Promise<unknown>>()
  const submitting = new Set<Promise<Waiting>>()

  const looking = createLoop({ everyMs: LOOK_MS, work: look, log })
  const keeping = createLoop({
    everyMs: KEEP_MS,
    log,
    work: async () => {
      if (waiting.size > 0) await renewWaiters(db.pool, [...waiting.keys()])
    },
  })

  function settle(one: Waiting, how: { answered: Answered } | { failed: unknown }): void {
    if (!waiting.delete(one.id)) return
    one.over.abort()
    if ('answered' in how) one.settle.resolve(how.answered)
    else one.settle.reject(how.failed)
  }

  async function enqueue(
    job: Submission,
    withinS: number,
    hear: Hear | undefined,
  ): Promise<Waiting> {
    const payload = hear === undefined ? job.payload : { ...job.payload, reply_to: url() }
    const id = await submitAwaitedJob(submitBy, { class: 'interactive', ...job, payload }, withinS)
    const one: Waiting = {
      id,
      hear,
      settle: Promise.withResolvers(),
      over: new AbortController(),
      begun: undefined,
      streaming: false,
      brokenAt: undefined,
      pendingSince: undefined,
      completedSince: undefined,
    }
    waiting.set(id, one)
    // Anyone who asked looks at it a moment later; it may be settled by then.
    one.settle.promise.catch(() => {})
    return one
  }

  /** The job keeps the reason that its client gets. */
  function end(id: number, why: Parameters<typeof giveUpJob>[2]): void {
    const work = giveUpJob(db.pool, id, why).catch((err: unknown) =>
      log.warn(
        { err, job: id },
        'A job for which nobody waits could not be ended; a sweep does it',
      ),
    )
    ending.add(work)
    void work.then(() => ending.delete(work))
  }

  /** It could not be done. */
  function giveUp(one: Waiting, failed: EarshotError): void {
    if (waiting.has(one.id))
      end(one.id, { status: 'failed', code: failed.code, message: failed.message })
    settle(one, { failed })
  }

  /** Its answer has nowhere to go. */
  function abandon(one: Waiting, reason: unknown): void {
    const message = reason instanceof Error ? reason.message : 'Its client waits no longer.'
    if (waiting.has(one.id))
      end(one.id, { status: 'cancelled', code: 'EARSHOT_CANCELLED', message })
    settle(one, { failed: reason })
  }

  async function look(): Promise<void> {
    if (waiting.size === 0) return
    const asked = [...waiting.values()]
    const states = new Map(
      (
        await readAwaited(
          db.pool,
          asked.map(({ id }) => id),
        )
      ).map((state) => [state.id, state]),
    )
    for (const one of asked) if (waiting.has(one.id)) await judge(one, states.get(one.id))
  }

  async function judge(one: Waiting, state: AwaitedState | undefined): Promise<void> {
    if (state === undefined)
      return settle(one, {
        failed: new EarshotError('EARSHOT_CANCELLED', `Job ${one.id} was deleted.`),
      })
    // Read before that attempt was assigned.
    if (one.begun !== undefined && state.attempt < one.begun.attempt) return
    if (state.status === 'failed' || state.status === 'cancelled')
      return settle(one, { failed: failureOf(state) })
    if (state.status === 'completed') return completed(one, state)
    if (one.brokenAt !== undefined)
      return monotonicMs() - one.brokenAt < REASON_MS ? undefined : giveUp(one, cut(one.begun))
    if (one.begun !== undefined && state.attempt !== one.begun.attempt)
      return giveUp(one, cut(one.begun))
    if (state.status !== 'pending') return void (one.pendingSince = undefined)
    // It failed, and so did its one retry, or no one else has what it needs: anyone who waits is
    // told, and waits no longer.
    if (state.failures > 1 || state.lacking)
      return giveUp(one, failureOf(state, 'EARSHOT_ENGINE_MISSING'))
    one.pendingSince ??= monotonicMs()
    if (monotonicMs() - one.pendingSince > waitMs) giveUp(one, await noNode(one.id))
  }

  function completed(one: Waiting, { node, result }: AwaitedState): void {
    one.completedSince ??= monotonicMs()
    if (one.streaming && monotonicMs() - one.completedSince < TAIL_MS) return
    settle(one, { answered: { node, result: result as Answered['result'] } })
  }

  async function noNode(id: number): Promise<EarshotError> {
    const facts = await readFacts(db, id).catch(() => undefined)
    const hint = 'How long a request waits for a node is the setting openai_api.wait_s.'
    return new EarshotError(
      'EARSHOT_NO_NODE',
      `No node began with it within ${Math.round(waitMs / 1000)} s. ${facts === undefined ? '' : explain(facts).sentence}`.trim(),
      { hint },
    )
  }

  return {
    async ask(job, { withinS, signal, hear }) {
      signal.throwIfAborted()
      const work = enqueue(job, withinS, hear)
      submitting.add(work)
      const one = await work.finally(() => submitting.delete(work))
      const leave = (): void => abandon(one, signal.reason)
      signal.addEventListener('abort', leave, { once: true })
      one.over.signal.addEventListener('abort', () => signal.removeEventListener('abort', leave), {
        once: true,
      })
      if (signal.aborted) leave()
      return { id: one.id, answer: one.settle.promise }
    },

    async hearing(id, { attempt, fence }) {
      // A job may be in a worker's hands before the answer to its submission is in ours.
      if (!waiting.has(id)) await Promise.allSettled(submitting)
      const one = waiting.get(id)
      if (one?.hear === undefined) throw nobody(id)
      // Written down before the first word is sent: so no other attempt is made, even should this
      // coordinator end now.
      const node =
        one.begun === undefined ? await beginAnswer(db.pool, id, { attempt, fence }) : null
      if (node === null || one.over.signal.aborted) throw nobody(id)
      one.begun = { attempt, node }
      one.streaming = true
      const { hear } = one
      return {
        over: one.over.signal,
        async say(delta) {
          if (waiting.has(id)) await hear(delta, { id, node })
        },
        end({ output, error }) {
          one.streaming = false
          if (error !== undefined)
            settle(one, { failed: new EarshotError(codeOf(error.code), error.message) })
          else if (output !== undefined) settle(one, { answered: { node, result: output } })
          else looking.kick()
        },
        broken() {
          one.streaming = false
          one.brokenAt = monotonicMs()
          looking.kick()
        },
      }
    },

    look: () => {
      // Of one that comes piece by piece the worker tells the end itself; what goes wrong with it,
      // the next turn finds.
      if ([...waiting.values()].some(({ hear }) => hear === undefined)) looking.kick()
    },
    start() {
      looking.start()
      keeping.start()
    },
    async stop(hurry) {
      const grace = AbortSignal.any([
        AbortSignal.timeout(GRACE_MS),
        ...(hurry === undefined ? [] : [hurry]),
      ])
      if (!grace.aborted)
        await Promise.race([
          Promise.allSettled([...waiting.values()].map(({ settle: { promise } }) => promise)),
          once(grace, 'abort'),
        ])
      await Promise.all([looking.stop(), keeping.stop()])
      for (const one of waiting.values())
        abandon(one, new EarshotError('EARSHOT_UNREACHABLE', 'This coordinator stops.'))
      await Promise.all(ending)
    },
  }
}

const nobody = (id: number): EarshotError =>
  new EarshotError('EARSHOT_CANCELLED', `Nobody waits for this answer of job ${id}.`)

function cut(begun: Waiting['begun']): EarshotError {
  return new EarshotError(
    'EARSHOT_ANSWER_CUT',
    `The answer broke off: node ${begun?.node ?? 'that gave it'} is gone, or lost its connection.`,
    { hint: 'Ask again.' },
  )
}

function failureOf(
  { id, error, error_code: code }: AwaitedState,
  otherwise: ErrorCode = 'EARSHOT_ENGINE_FAILED',
): EarshotError {
  return new EarshotError(
    code === null ? otherwise : codeOf(code),
    error ?? `Job ${id} did not succeed.`,
  )
}

const codeOf = (code: string): ErrorCode =>
  Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'EARSHOT_ENGINE_FAILED'
