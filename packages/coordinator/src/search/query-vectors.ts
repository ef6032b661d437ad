import { EarshotError } from '@earshot/contract'
import type { Queryable } from '@earshot/db/functions/call'
import { readEmbedding } from '@earshot/db/functions/vectors'
import { knownOf } from '@earshot/shared/embedding-models'
import { LEXICAL_MODEL } from '@earshot/shared/lexical'
import { createModels } from '../models/registry.ts'
import type { AwaitedJobs } from '../jobs/awaited-jobs.ts'
import type { Meaning } from './search.ts'

/**
 * What a search has beside the words: the meaning of its query, or why it has none although the
 * mesh has a model.
 */
export type Understood = { meaning?: Meaning; note?: string }

export type QueryVectors = {
  /**
   * Embeds a query by the model of the documents' vectors. Where no node answers in time that is a
   * note, never an error.
   */
  understand(query: string): Promise<Understood>
  /** Waits for nothing more. */
  stop(): void
}

/**
 * A search goes on without it, its job does not: a model that is loaded first then answers the next
 * search.
 */
const ANSWER_S = 30
/** Queries whose vectors are remembered: a few megabytes. */
const REMEMBERED = 500

/** @param options.waitMs how long a search waits for its query's vector */
export function createQueryVectors({
  db,
  awaitedJobs,
  waitMs,
}: {
  db: Queryable
  awaitedJobs: Pick<AwaitedJobs, 'ask'>
  waitMs: number
}): QueryVectors {
  // Here a name means itself: vectors of two models do not go together.
  const models = createModels({
    db,
    aliases: { model: (name) => name, builtIn: () => false, voice: (name) => name },
  })
  const remembered = new Map<string, Promise<number[]>>()
  const stopping = new AbortController()

  async function embed(model: string, text: string): Promise<number[]> {
    // Where no one offers it, the job would only wait.
    await models.pick('vectors', model)
    const { answer } = await awaitedJobs.ask(
      { kind: 'vectors', payload: { model, texts: [text] } },
      { withinS: ANSWER_S, signal: stopping.signal },
    )
    const [vector] = (await answer).result.vectors as number[][]
    return vector!
  }

  /** The same text costs once; of two at a time too. */
  function vectorOf(model: string, text: string): Promise<number[]> {
    const key = JSON.stringify([model, text])
    const known = remembered.get(key) ?? embed(model, text)
    remembered.delete(key)
    remembered.set(key, known)
    if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value!)
    known.catch(() => remembered.delete(key))
    return known
  }

  return {
    async understand(query) {
      const { model, dimensions, floor } = await readEmbedding(db)
      if (model === LEXICAL_MODEL) return {}
      if (dimensions === null)
        return { note: byWords(`No document has been embedded by model "${model}" yet.`) }
      const known = knownOf(model)
      try {
        const vector = await inTime(vectorOf(model, known.query + query), waitMs, model)
        if (vector.length === dimensions)
          return { meaning: { model, vector, floor: floor ?? known.floor } }
        return {
          note: byWords(
            `Model "${model}" now makes vectors of ${vector.length} dimensions, and those of the documents have ${dimensions}.`,
          ),
        }
      } catch (err) {
        if (!(err instanceof EarshotError)) throw err
        return { note: byWords(err.message) }
      }
    },
    stop: () => stopping.abort(new EarshotError('EARSHOT_UNREACHABLE', 'This coordinator stops.')),
  }
}

const byWords = (why: string): string => `${why} This search went by words alone.`

async function inTime<T>(work: Promise<T>, ms: number, model: string): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () =>
      late.reject(
        new EarshotError(
          'EARSHOT_NO_NODE',
          `Model "${model}" did not answer within ${ms / 1000} s.`,
        ),
      ),
    ms,
  )
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
}
