import { EarshotError } from '@earshot/shared/contract'
import type { Engines } from '../engines/registry.ts'
import type { BuiltIn } from '../handle.ts'

/** Texts embedded at once, so that there are signs of life. */
const BATCH = 64

/** Texts to vectors of the model that was asked for. */
export function createVectors({ engines }: { engines: Engines }): BuiltIn<'vectors'> {
  return async ({ model: name, texts }, { signal, progress }) => {
    const { engine, model } = engines.need('embed', name)
    const vectors: number[][] = []
    let tokens = 0
    for (let at = 0; at < texts.length; at += BATCH) {
      const batch = texts.slice(at, at + BATCH)
      const made = await engine.embed(batch, { model: model.name, signal, onTokens: (count) => { tokens += count } })
      if (made.length !== batch.length || made.some((vector) => vector.length !== made[0]!.length || !vector.every(Number.isFinite))) {
        throw new EarshotError('EARSHOT_ENGINE_FAILED', `${engine.name} answered ${batch.length} texts with what are not as many vectors.`)
      }
      vectors.push(...made)
      progress(vectors.length / texts.length)
    }
    return { model: model.name, vectors, engine: engine.name, ...(tokens === 0 ? {} : { tokens }) }
  }
}
