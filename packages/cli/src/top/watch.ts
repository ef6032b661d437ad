import type { Client } from '@earshot/sdk'
import type { ListedJob } from '@earshot/contract'
import { createRates, type TopState } from './state.ts'

/**
 * Without news everything is asked for again after so long: how long nodes are silent brings no
 * event.
 */
const STALE_MS = 5_000
/** Jobs in hand that are shown at most. */
const MOST = 1_000

export type Watch = {
  /**
   * What is known now; asks the mesh first where something happened. Throws only when it never
   * answered.
   */
  state(): Promise<TopState>
  /** Follows the events until the signal aborts. */
  follow(signal: AbortSignal): Promise<void>
}

/**
 * Keeps a picture of the mesh: the event stream says when to look and how fast jobs end, HTTP what
 * there is.
 */
export function createWatch(client: Client, signal: AbortSignal): Watch {
  const rates = createRates()
  const progress = new Map<number, number>()
  let known: TopState | undefined
  let askedAt = -Infinity
  let ahead = 0
  let changed = true

  async function ask(): Promise<void> {
    changed = false
    askedAt = performance.now()
    const [nodes, { at, lanes }, jobs, { redis = null }] = await Promise.all([
      client.nodes({ signal }),
      client.lanes({ signal }),
      client.jobs({ status: ['assigned', 'running'], limit: MOST, signal }),
      client.health({ signal }),
    ])
    ahead = Date.parse(at) - Date.now()
    for (const id of progress.keys()) if (!jobs.some((job) => job.id === id)) progress.delete(id)
    known = {
      url: client.url,
      now: 0,
      nodes,
      lanes,
      jobs: jobs.toReversed(),
      completed_per_min: 0,
      failed_per_min: 0,
      redis,
      trouble: null,
    }
  }

  const withProgress = (job: ListedJob): ListedJob => ({
    ...job,
    progress: progress.get(job.id) ?? job.progress,
  })

  return {
    async state() {
      if (changed || performance.now() - askedAt > STALE_MS) {
        await ask().catch((error: unknown) => {
          if (known === undefined || signal.aborted) throw error
          changed = true
          known = { ...known, trouble: error instanceof Error ? error.message : String(error) }
        })
      }
      return {
        ...known!,
        now: Date.now() + ahead,
        jobs: known!.jobs.map(withProgress),
        ...rates.read(Date.now()),
      }
    },
    async follow(until) {
      for await (const event of client.events({ progress: true, signal: until })) {
        if ('progress' in event) {
          progress.set(event.job_id, event.progress)
          continue
        }
        rates.note(event.type, Date.now())
        changed = true
      }
    },
  }
}
