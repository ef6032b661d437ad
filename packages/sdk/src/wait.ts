import {
  EarshotError,
  isFinal,
  type EventView,
  type JobView,
  type ListedJob,
  type ProgressEvent,
} from '@earshot/contract'
import { subscribe } from './events.ts'
import { type Http, isPassing } from './http.ts'
import { backoff, pause } from './pause.ts'

export type WaitOptions = {
  signal?: AbortSignal
  /** Give up after so many seconds; without it, wait forever. */
  timeout_s?: number
  /** Called with 0 to 1 while a worker reports it. */
  onProgress?: (progress: number) => void
  /**
   * Called when attempts end unfinished again and again, with the last one's sentence: from the
   * third attempt on, once for each new sentence. The wait goes on.
   */
  onTrouble?: (sentence: string, attempt: number) => void
}

/** From this attempt on, an unfinished one is no accident. */
const TROUBLED_ATTEMPT = 3
/** A missed event must not hang anyone: what is waited for is also asked for, this often. */
const POLL_MS = 5_000
/** As many ids as one GET /v1/jobs?ids= takes. */
const BATCH = 200

type Waiter = {
  id: number
  onProgress: ((progress: number) => void) | undefined
  onTrouble: ((sentence: string, attempt: number) => void) | undefined
  /** The sentence told last. */
  told?: string
  done: (job: JobView) => void
  failed: (error: unknown) => void
}

/**
 * Waits for jobs over one event stream for all of them (browsers allow six connections a host),
 * opened by the first waiter and closed after the last. An event only says "look": the job's row is
 * what a waiter gets.
 */
export function createWaiting(http: Http): (id: number, options?: WaitOptions) => Promise<JobView> {
  const waiters = new Set<Waiter>()
  let session: AbortController | undefined

  const look = async (some: readonly Waiter[], signal: AbortSignal): Promise<void> => {
    for (let start = 0; start < some.length; start += BATCH) {
      const batch = some.slice(start, start + BATCH)
      const ids = [...new Set(batch.map((waiter) => waiter.id))]
      const { jobs } = await http.json<{ jobs: JobView[] }>('/v1/jobs', {
        query: { ids, limit: BATCH, payload: 1 },
        signal,
      })
      const found = new Map(jobs.map((job) => [job.id, job]))
      for (const waiter of batch) answer(waiter, found.get(waiter.id))
    }
  }
  /**
   * Those whose job ended or is gone, and progress of the others: without payloads, which are asked
   * for once.
   */
  const changedOf = async (some: readonly Waiter[], signal: AbortSignal): Promise<Waiter[]> => {
    const changed: Waiter[] = []
    for (let start = 0; start < some.length; start += BATCH) {
      const batch = some.slice(start, start + BATCH)
      const ids = [...new Set(batch.map((waiter) => waiter.id))]
      const { jobs } = await http.json<{ jobs: ListedJob[] }>('/v1/jobs', {
        query: { ids, limit: BATCH },
        signal,
      })
      const found = new Map(jobs.map((job) => [job.id, job]))
      for (const waiter of batch) {
        const job = found.get(waiter.id)
        if (job === undefined || isFinal(job.status)) changed.push(waiter)
        else tell(waiter, job)
      }
    }
    return changed
  }
  const answer = (waiter: Waiter, job: JobView | undefined): void => {
    if (job === undefined)
      waiter.failed(new EarshotError('EARSHOT_NOT_FOUND', `There is no job ${waiter.id}.`))
    else if (isFinal(job.status)) waiter.done(job)
    else tell(waiter, job)
  }
  const tell = (waiter: Waiter, { progress, attempt, error }: ListedJob): void => {
    if (progress !== null) waiter.onProgress?.(progress)
    if (error === null || attempt < TROUBLED_ATTEMPT || error.message === waiter.told) return
    waiter.told = error.message
    waiter.onTrouble?.(error.message, attempt)
  }
  const failAll = (error: unknown): void => {
    for (const waiter of waiters) waiter.failed(error)
  }
  /**
   * Runs `work` until it ends; passing trouble is tried again, a refusal (a wrong key, say) is
   * every waiter's failure.
   */
  const persist = async (work: () => Promise<void>, signal: AbortSignal): Promise<void> => {
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        return await work()
      } catch (error) {
        if (signal.aborted) return
        if (!isPassing(error)) return failAll(error)
        await pause(backoff(failures), signal).catch(() => undefined)
      }
    }
  }
  const hear = (event: EventView | ProgressEvent, signal: AbortSignal): void => {
    const concerned = [...waiters].filter((waiter) => waiter.id === event.job_id)
    if (concerned.length === 0) return
    if ('progress' in event) for (const waiter of concerned) waiter.onProgress?.(event.progress)
    else void persist(() => look(concerned, signal), signal)
  }
  const listen = async (signal: AbortSignal): Promise<void> => {
    const types = ['job.completed', 'job.failed', 'job.cancelled']
    for await (const event of subscribe(http, { types, progress: true, signal }))
      hear(event, signal)
  }
  const poll = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await pause(POLL_MS, signal).catch(() => undefined)
      if (!signal.aborted) await look(await changedOf([...waiters], signal), signal)
    }
  }
  const open = (): AbortController => {
    const opened = new AbortController()
    void persist(() => listen(opened.signal), opened.signal)
    void persist(() => poll(opened.signal), opened.signal)
    return opened
  }

  return async (id, options = {}) => {
    const limit = limitOf(options)
    limit?.throwIfAborted()
    session ??= open()
    const { signal } = session
    const { promise, resolve, reject } = Promise.withResolvers<JobView>()
    const { onProgress, onTrouble } = options
    const waiter: Waiter = { id, onProgress, onTrouble, done: resolve, failed: reject }
    const stop = (): void => reject(reasonOf(id, options, limit))
    limit?.addEventListener('abort', stop, { once: true })
    waiters.add(waiter)
    void persist(() => look([waiter], signal), signal)
    try {
      return await promise
    } finally {
      waiters.delete(waiter)
      limit?.removeEventListener('abort', stop)
      if (waiters.size === 0) {
        session?.abort()
        session = undefined
      }
    }
  }
}

function limitOf(options: WaitOptions): AbortSignal | undefined {
  const signals = options.signal === undefined ? [] : [options.signal]
  if (options.timeout_s !== undefined)
    signals.push(AbortSignal.timeout(Math.ceil(options.timeout_s * 1000)))
  return signals.length === 0 ? undefined : AbortSignal.any(signals)
}

function reasonOf(id: number, options: WaitOptions, limit: AbortSignal | undefined): unknown {
  if (options.signal?.aborted) return options.signal.reason
  const seconds = options.timeout_s
  return new EarshotError(
    'EARSHOT_DEADLINE',
    `Job ${id} was not done within ${seconds} s; it goes on without you.`,
    {
      hint: `Look at it later with: earshot job ${id}`,
      cause: limit?.reason,
    },
  )
}
