import { setTimeout as sleep } from 'node:timers/promises'
import { cancelJobs, type Submission, submitJobs } from '@earshot/db/functions/jobs'
import { openDatabase } from '@earshot/db/open'
import { type ChaosPayload, KIND } from './kind.ts'
import type { Random } from './random.ts'
import type { Stage } from './stage.ts'

/** What was asked for, by which the end is judged. */
export type Asked = {
  key: string
  payload: ChaosPayload
  maxTries: number
  parents: { key: string; policy: 'fail' | 'run' | 'skip' }[]
  cancelled: boolean
  id: number
}

export type Submitter = {
  asked: Asked[]
  /** How often a submission or a cancellation had to be said again, since its answer was lost. */
  repeated(): number
  stop(): Promise<void>
}

/**
 * Submits random batches and cancels some of their jobs, `rate` jobs a second, until it is stopped;
 * what gets no answer it says again.
 */
export async function startSubmitting(
  stage: Stage,
  random: Random,
  { rate, maxTries }: { rate: number; maxTries: number },
): Promise<Submitter> {
  const db = await openDatabase({
    url: stage.submitting.url,
    home: '',
    poolSize: 2,
    connectTimeoutS: 2,
  })
  const asked: Asked[] = []
  let repeated = 0
  let stopping = false

  /** Until it is answered: keys make a repetition harmless, and so is a second cancellation. */
  async function insist<T>(say: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await say()
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'EARSHOT_BAD_REQUEST')
          throw error
        repeated += 1
        await sleep(100)
      }
    }
  }

  async function submitBatch(): Promise<number> {
    const batch = inventBatch(random, asked.length, maxTries)
    const made = await insist(() => submitJobs(db.pool, batch.map(submissionOf)))
    made.forEach(({ id }, place) => asked.push({ ...batch[place]!, id }))
    return batch.length
  }

  async function cancelOne(): Promise<void> {
    const one = random.pick(asked.slice(-40))
    one.cancelled = true
    await insist(() => cancelJobs(db.pool, [one.id]))
  }

  const running = (async () => {
    while (!stopping) {
      const count = await submitBatch()
      if (random.chance(0.2)) await cancelOne()
      await sleep((count / rate) * 1000 * (0.5 + random.next()))
    }
  })()
  running.catch(() => {}) // whoever stops it hears of it
  return {
    asked,
    repeated: () => repeated,
    async stop() {
      stopping = true
      await running.finally(() => db.close())
    },
  }
}

function inventBatch(random: Random, before: number, maxTries: number): Asked[] {
  const batch: Asked[] = []
  const count = random.whole(1, 20)
  for (let i = 0; i < count; i++) {
    const parents =
      i > 0 && random.chance(0.15)
        ? [{ key: random.pick(batch).key, policy: random.pick(['fail', 'run', 'skip'] as const) }]
        : []
    const fail = random.chance(0.05) ? random.pick(['final', 'tries'] as const) : undefined
    batch.push({
      key: `chaos-${before + i}`,
      payload: { ms: inventMs(random), ...(fail && { fail }) },
      maxTries: 1 + ((before + i) % maxTries),
      parents,
      cancelled: false,
      id: 0,
    })
  }
  return batch
}

function inventMs(random: Random): number {
  const kind = random.next()
  if (kind < 0.6) return random.whole(0, 100)
  if (kind < 0.98) return random.whole(100, 500)
  return random.whole(1000, 4000)
}

function submissionOf(
  { key, payload, maxTries, parents }: Asked,
  _: number,
  batch: Asked[],
): Submission {
  const number = Number(key.split('-')[1])
  return {
    kind: KIND,
    payload,
    idempotency_key: key,
    max_tries: maxTries,
    priority: number % 5,
    requires: number % 7 === 0 ? { zone: 'even' } : {},
    after: parents.map((parent) => ({
      job: `#${batch.findIndex((one) => one.key === parent.key) + 1}` as const,
      policy: parent.policy,
    })),
  }
}
