import type { Config } from '@earshot/shared/config'
import type { Database } from '@earshot/db/database'
import { reconcileVectors, setEmbedding } from '@earshot/db/functions/vectors'
import type { Log } from '@earshot/shared/log'
import { type Loop, createLoop } from '@earshot/shared/loop'

/**
 * How long a document that became ready may wait until it is asked to be embedded by the mesh's
 * model.
 */
const EVERY_MS = 2_000
/**
 * Where the settings of this coordinator name none, there is mostly nothing to do: an idle mesh is
 * to ask the database little.
 */
const SELDOM_MS = 10_000

/**
 * While this coordinator leads: asks for the embedding of documents by the model that
 * earshot.settings names, and removes vectors of former ones, a bounded part at a time. A new
 * leader writes there what its own settings say, where they name a model.
 */
export function createEmbedding(options: {
  db: Database
  term: () => string | null
  embed: Config['embed']
  log: Log
}): Loop {
  const {
    db,
    term,
    embed: { model, floor },
    log,
  } = options
  let begun: string | undefined
  let gone = 0

  async function work(): Promise<void> {
    const current = term()
    if (current === null) return
    if (begun !== current && model !== null) await setEmbedding(db.pool, current, { model, floor })
    begun = current
    const { asked, removed } = await reconcileVectors(db.pool, current)
    gone += removed
    if (asked > 0)
      log.info(
        { term: current, documents: asked },
        'Documents are to be embedded by the model of the settings',
      )
    if (removed > 0) return loop.kick()
    if (gone > 0)
      log.info({ term: current, vectors: gone }, 'Vectors of a former model were removed')
    gone = 0
  }
  const loop = createLoop({ everyMs: model === null ? SELDOM_MS : EVERY_MS, work, log })
  return loop
}
