import { EarshotError } from '@earshot/shared/contract'
import type { Engine, EngineKind, EngineOf, ModelInfo } from './engine.ts'

/** An engine that works here, with the models it offers. */
export type Serving = { engine: Engine; models: readonly ModelInfo[] }
export type Picked<K extends EngineKind> = { engine: EngineOf<K>; model: ModelInfo }

/** What serves each kind on this machine now; a kind without an engine is not offered. */
export type Engines = {
  readonly serving: readonly Serving[]
  /** Engines and models that are here and are not offered, each with the reason. */
  readonly notOffered: Readonly<Record<string, string>>
  /** The engine that has this model of a kind, by its name or another name of it; without a name the default of the kind. Undefined where there is none. */
  pick<K extends EngineKind>(kind: K, model?: string): Picked<K> | undefined
  /** The same. Throws EARSHOT_ENGINE_MISSING where there is none. */
  need<K extends EngineKind>(kind: K, model?: string): Picked<K>
  /** Looks again at what may have changed: models, servers that come and go. */
  refresh(signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** What is known of a machine's engines at one moment. `defaults`: kind to the model that somebody chose for it. */
export type Known = { serving: readonly Serving[]; notOffered: Record<string, string>; defaults: Partial<Record<EngineKind, string>> }

/**
 * The engines of a node, chosen by kind and model; the first of a kind that has a model is its default, unless somebody chose another.
 *
 * @param known as it is now; asked each time
 * @example
 * const { engine, model } = createRegistry(() => known).need('generate', 'llama3.2:1b')
 */
export function createRegistry(known: () => Known = () => ({ serving: [], notOffered: {}, defaults: {} }), refresh: Engines['refresh'] = async () => {}): Engines {
  function find<K extends EngineKind>(kind: K, name?: string): Picked<K> | undefined {
    for (const { engine, models } of known().serving) {
      if (engine.kind !== kind) continue
      const model = name === undefined ? models[0] : models.find((one) => one.name === name || one.aliases?.includes(name))
      if (model !== undefined) return { engine: engine as EngineOf<K>, model }
    }
    return undefined
  }
  const pick: Engines['pick'] = (kind, name) => {
    const chosen = name === undefined ? known().defaults[kind] : undefined
    // What was chosen may be gone; then it is as if nobody had.
    return (chosen === undefined ? undefined : find(kind, chosen)) ?? find(kind, name)
  }
  return {
    get serving() {
      return known().serving
    },
    get notOffered() {
      return known().notOffered
    },
    pick,
    need(kind, name) {
      const picked = pick(kind, name)
      if (picked !== undefined) return picked
      // A job says by a tag which model it needs: this one was taken away after the job was given out.
      const what = name === undefined ? `No engine for ${kind}` : `No model "${name}" for ${kind}`
      throw new EarshotError('EARSHOT_ENGINE_MISSING', `${what} is on this node any more.`, { hint: 'Run there: earshot models list' })
    },
    refresh,
    close: async () => {
      await Promise.all(known().serving.map(({ engine }) => engine.close?.()))
    },
  }
}
