import type { Engines } from '../engines/registry.ts'
import type { BuiltIn } from '../handle.ts'
import { embedTexts } from './embed-texts.ts'

/** Texts to vectors of the model that was asked for. */
export function createVectors({ engines }: { engines: Engines }): BuiltIn<'vectors'> {
  return async ({ model: name, texts }, { signal, progress }) => {
    const picked = engines.need('embed', name)
    let tokens = 0
    const vectors = await embedTexts(picked, texts, {
      signal,
      onTokens: (count) => {
        tokens += count
      },
      progress: (done) => progress(done / texts.length),
    })
    return {
      model: picked.model.name,
      vectors,
      engine: picked.engine.name,
      ...(tokens === 0 ? {} : { tokens }),
    }
  }
}
