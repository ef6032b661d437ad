import type { Assignment } from '@earshot/db/functions/jobs'
import { type LazyAbortController, createLazyAbortController } from './lazy-abort-controller.ts'
import { createExpiringSet } from './expiring-set.ts'

/** Why a running job is ended from outside. */
export type End = 'lost' | 'stopping'
/**
 * waiting: not started, may be recalled. leaving: not started, being handed back. reporting: its
 * result is on its way, its slot is free.
 */
type State = 'waiting' | 'leaving' | 'running' | 'reporting'
/**
 * `settled`: the database knows what became of it. `done`: it is no longer this node's. `ended`:
 * its handler has ended, which one that hangs never does.
 */
export type LocalJob = {
  job: Assignment
  takenAt: number
  abort: LazyAbortController
  state: State
  settled: boolean
  done: Promise<void>
  ended: Promise<void>
}

export type LocalQueue = {
  /**
   * What need not be fetched; a job that was lost while its handler runs may be given to this node
   * again.
   */
  ids(): number[]
  has(id: number, fence: string): boolean
  /**
   * Takes up what it has not had: one assignment may be told of by a message, twice, and by the
   * database's answer to a question asked before it ended. False when a job is in hand under
   * another assignment still, say while it is being handed back. A later assignment of a job whose
   * handler still runs takes its place; that handler's slot stays taken until it ends.
   */
  add(jobs: readonly Assignment[], takenAt: number): boolean
  /** What ends while this work runs is known for as long. */
  during<T>(work: () => Promise<T>): Promise<T>
  remove(held: LocalJob): void
  /**
   * The waiting job that is to start now, marked as running: interactive ones first, then by
   * priority, by id. Undefined when no slot is free, or none waits.
   */
  next(): LocalJob | undefined
  /** A running job has its result: its slot is free. */
  report(held: LocalJob): void
  /** Jobs that wait, marked as leaving: nothing starts them any more. */
  leave(): Assignment[]
  /** Those that leave were handed back. */
  left(): void
  /** Those that could not be handed back wait again. */
  stay(): void
  /** Jobs that were started, until they are removed. */
  started(): LocalJob[]
  /** Drops jobs that have not been started. */
  drop(isGone: (held: LocalJob) => boolean): void
  /**
   * The job of a handler that hangs is no longer in hand, and may be given to this node again; its
   * slot stays taken.
   */
  disown(held: LocalJob): void
  /** A handler whose job was disowned has ended after all. */
  release(held: LocalJob): void
  /** Role to jobs that are no longer ours while their engine still winds down. */
  busy(): Record<string, number>
}

/** For so long what has ended is known: longer than a message counts as fresh. */
const KNOWN_MS = 3000

/**
 * What a node has in hand. It may be given more than it runs at once: the rest waits here, and may
 * be handed back as long as it does.
 *
 * @param slots role to the number of jobs that run at once; `*` is the most of all roles together
 */
export function createLocalQueue(slots: Record<string, number>): LocalQueue {
  const hand = new Map<number, LocalJob>()
  let waiting: LocalJob[] = []
  const hanging = new Set<LocalJob>()
  /** Handlers that still run although their job was given to this node again. */
  const displaced = new Set<LocalJob>()
  /** By fence, of which each assignment has its own. */
  const settled = createExpiringSet<string>(KNOWN_MS)
  const running: Record<string, number> = {}
  const count = (role: string, by: 1 | -1) => {
    for (const key of [role, '*']) running[key] = (running[key] ?? 0) + by
  }
  const fits = (role: string) =>
    (running[role] ?? 0) < (slots[role] ?? 1) && (running['*'] ?? 0) < (slots['*'] ?? Infinity)
  const isStarted = ({ state }: LocalJob) => state === 'running' || state === 'reporting'
  const displace = (held: LocalJob) => {
    if (!held.abort.aborted) held.abort.abort('lost' satisfies End)
    hand.delete(held.job.id)
    settled.add(held.job.fence)
    displaced.add(held)
  }
  const forget = (held: LocalJob) => {
    if (!hand.delete(held.job.id)) return
    if (held.settled) settled.add(held.job.fence)
    if (held.state === 'running') count(held.job.role, -1)
    else if (!isStarted(held)) waiting = waiting.filter((one) => one !== held)
  }

  return {
    ids: () =>
      [...hand.values()]
        .filter(({ state, abort }) => state !== 'running' || !abort.aborted)
        .map(({ job }) => job.id),
    has: (id, fence) => hand.get(id)?.job.fence === fence,
    add(jobs, takenAt) {
      for (const job of jobs) {
        const old = hand.get(job.id)
        if (settled.has(job.fence)) continue
        if (old?.state === 'running' && old.job.attempt < job.attempt) displace(old)
        else if (old !== undefined) continue
        const held: LocalJob = {
          job,
          takenAt,
          abort: createLazyAbortController(),
          state: 'waiting',
          settled: false,
          done: Promise.resolve(),
          ended: Promise.resolve(),
        }
        hand.set(job.id, held)
        waiting.push(held)
      }
      waiting.sort(goesFirst)
      return jobs.every(({ id, fence }) => (hand.get(id)?.job.fence ?? fence) === fence)
    },
    during: settled.during,
    remove(held) {
      if (hand.get(held.job.id) === held) forget(held)
      else if (displaced.delete(held)) count(held.job.role, -1)
    },
    next() {
      const at = waiting.findIndex((held) => held.state === 'waiting' && fits(held.job.role))
      if (at < 0) return undefined
      const [held] = waiting.splice(at, 1)
      held!.state = 'running'
      count(held!.job.role, 1)
      return held
    },
    report(held) {
      held.state = 'reporting'
      count(held.job.role, -1)
    },
    leave() {
      for (const held of waiting) held.state = 'leaving'
      return waiting.map(({ job }) => job)
    },
    left() {
      for (const held of waiting.filter(({ state }) => state === 'leaving')) {
        held.settled = true
        forget(held)
      }
    },
    stay() {
      for (const held of waiting) held.state = 'waiting'
    },
    started: () => [...hand.values()].filter(isStarted),
    drop(isGone) {
      for (const held of waiting.filter(isGone)) forget(held)
    },
    disown(held) {
      hand.delete(held.job.id)
      settled.add(held.job.fence)
      hanging.add(held)
    },
    release(held) {
      if (hanging.delete(held)) count(held.job.role, -1)
    },
    busy() {
      const counts: Record<string, number> = {}
      const windingDown = [...hand.values()].filter(({ abort }) => abort.aborted)
      for (const { job } of [...windingDown, ...displaced, ...hanging])
        counts[job.role] = (counts[job.role] ?? 0) + 1
      return counts
    },
  }
}

function goesFirst({ job: a }: LocalJob, { job: b }: LocalJob): number {
  if (a.class !== b.class) return a.class === 'interactive' ? -1 : 1
  return b.priority - a.priority || a.id - b.id
}
