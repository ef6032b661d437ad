import { mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { Assignment } from '@earshot/db/functions/jobs'

/** What a handler gets besides its payload. */
export type JobContext = {
  /**
   * The job itself; its `id` is the same at every attempt: the key by which an effect elsewhere is
   * done once.
   */
  readonly job: Assignment
  /**
   * Fires when the job is cancelled, its lease is lost, it was silent for too long, or the worker
   * must stop now.
   */
  readonly signal: AbortSignal
  /** A folder of this job's own, made when it is first asked for, removed afterwards. */
  readonly dir: string
  /**
   * How far it is, 0 to 1. Also the sign of life: a job that gives none for longer than its kind
   * may is taken from its handler.
   */
  progress(fraction: number): void
  /**
   * Sends a piece of output at once to anyone who asked for this job, when they listen; it is never
   * stored. For built-in kinds that are asked over HTTP; otherwise it goes nowhere.
   */
  emit(delta: object): void
}

export type ContextOptions = Pick<JobContext, 'job' | 'progress' | 'emit'> & {
  /** Whichever fires first ends the job. */
  signals: () => AbortSignal[]
  folder: () => string
}

/**
 * Makes what a handler gets. Folder and signal are made when the handler asks for them, since most
 * short jobs need neither, and a folder takes ten times as long as such a job.
 */
export function createJobContext({ job, progress, emit, signals, folder }: ContextOptions): {
  context: JobContext
  remove(): Promise<void> | undefined
} {
  let signal: AbortSignal | undefined
  let made: string | undefined
  return {
    context: {
      job,
      progress,
      emit,
      get signal() {
        return (signal ??= AbortSignal.any(signals()))
      },
      get dir() {
        if (made !== undefined) return made
        made = folder()
        mkdirSync(made, { recursive: true })
        return made
      },
    },
    remove: () =>
      made === undefined ? undefined : rm(made, { recursive: true, force: true, maxRetries: 3 }),
  }
}
