import { EarshotError } from '@earshot/shared/contract'
import type { Engine, EngineKind, EngineOf, ModelInfo } from './engine.ts'

/** An engine that works here, with the models it offers. */
export type Serving = { engine: Engine; models: readonly ModelInfo[] }
export type Picked<K extends EngineKind> = { engine: EngineOf<K>; model: ModelInfo }

/** What serves each kind on this machine; a kind without an engine is not offered. */
export type Engines = {
  readonly serving: readonly Serving[]
  /** The engine that has this model of a kind, by its name or another name of it; without a name the default of the kind. Undefined where there is none. */
  pick<K extends EngineKind>(kind: K, model?: string): Picked<K> | undefined
  /** The same. Throws EARSHOT_ENGINE_MISSING where there is none. */
  need<K extends EngineKind>(kind: K, model?: string): Picked<K>
}

/**
 * The engines of a node, chosen by kind and model; the first of a kind that has a model is its default.
 *
 * @example
 * const { engine, model } = createRegistry(serving).need('generate', 'llama3.2:1b')
 */
export function createRegistry(serving: readonly Serving[]): Engines {
  function pick<K extends EngineKind>(kind: K, name?: string): Picked<K> | undefined {
    for (const { engine, models } of serving) {
      if (engine.kind !== kind) continue
      const model = name === undefined ? models[0] : models.find((one) => one.name === name || one.aliases?.includes(name))
      if (model !== undefined) return { engine: engine as EngineOf<K>, model }
    }
    return undefined
  }
  return {
    serving,
    pick,
    need(kind, name) {
      const picked = pick(kind, name)
      if (picked !== undefined) return picked
      // A job says by a tag which model it needs: this one was taken away after the job was given out.
      const what = name === undefined ? `No engine for ${kind}` : `No model "${name}" for ${kind}`
      throw new EarshotError('EARSHOT_ENGINE_MISSING', `${what} is on this node any more.`, { hint: 'Run there: earshot models list' })
    },
  }
}
