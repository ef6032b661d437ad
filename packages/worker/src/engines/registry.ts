import { EarshotError } from '@earshot/contract'
import type { Engine, EngineKind, EngineOf, ModelInfo } from './engine.ts'

/** An engine that works here, with the models it offers. */
export type Serving = { engine: Engine; models: readonly ModelInfo[] }
export type Picked<K extends EngineKind> = { engine: EngineOf<K>; model: ModelInfo }

/** What serves each kind on this machine now; a kind without an engine is not offered. */
export type Engines = {
  readonly serving: readonly Serving[]
  /** Engines and models that are here and are not offered, each with the reason. */
  readonly notOffered: Readonly<Record<string, string>>
  /**
   * The engine that has this model of a kind, by its name or another name of it; without a name the
   * default of the kind. Undefined where there is none.
   */
  pick<K extends EngineKind>(kind: K, model?: string): Picked<K> | undefined
  /** The same. Throws EARSHOT_ENGINE_MISSING where there is none. */
  need<K extends EngineKind>(kind: K, model?: string): Picked<K>
  /** Looks again at what may have changed: models, servers that come and go. */
  refresh(signal?: AbortSignal): Promise<void>
  /** What was measured of a model; offered with it. */
  note(model: string, measured: Pick<ModelInfo, 'load_s' | 'rtf'>): void
  /** An engine failed here: it is not offered any more, and everyone can see why. */
  reject(engine: string, reason: string): void
  close(): Promise<void>
}

/**
 * What is known of a machine's engines at one moment. `defaults`: kind to the model that someone
 * chose for it.
 */
export type Known = {
  serving: readonly Serving[]
  notOffered: Record<string, string>
  defaults: Partial<Record<EngineKind, string>>
}

/**
 * The engines of a node, chosen by kind and model; the first of a kind that has a model is its
 * default, unless someone chose another.
 *
 * @param given as it is now; asked each time
 * @param made every engine there is, also those that serve nothing at the moment: they are closed
 *   too
 * @example
 * const { engine, model } = createRegistry(() => found).need('generate', 'llama3.2:1b')
 */
export function createRegistry(
  given: () => Known = () => ({ serving: [], notOffered: {}, defaults: {} }),
  refresh: Engines['refresh'] = async () => {},
  made: readonly Engine[] = [],
): Engines {
  const measured = new Map<string, Pick<ModelInfo, 'load_s' | 'rtf'>>()
  const rejected = new Map<string, string>()
  let last: { from: Known; known: Known } | undefined

  /** What was given, with what was found out since. */
  function known(): Known {
    const from = given()
    if (last?.from === from) return last.known
    const serving = from.serving
      .filter(({ engine }) => !rejected.has(engine.name))
      .map(({ engine, models }) => ({
        engine,
        models: models.map((model) => ({ ...model, ...measured.get(model.name) })),
      }))
    last = {
      from,
      known: {
        ...from,
        serving,
        notOffered: { ...from.notOffered, ...Object.fromEntries(rejected) },
      },
    }
    return last.known
  }
  function find<K extends EngineKind>(kind: K, name?: string): Picked<K> | undefined {
    for (const { engine, models } of known().serving) {
      if (engine.kind !== kind) continue
      const model =
        name === undefined
          ? models[0]
          : models.find((one) => one.name === name || one.aliases?.includes(name))
      if (model !== undefined) return { engine: engine as EngineOf<K>, model }
    }
    return undefined
  }
  const pick: Engines['pick'] = (kind, name) => {
    const chosen = name === undefined ? known().defaults[kind] : undefined
    // What was chosen may be gone; then it is as if no one had.
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
      // A job says by a tag which model it needs: this one was taken away after the job was given
      // out.
      const what = name === undefined ? `No engine for ${kind}` : `No model "${name}" for ${kind}`
      throw new EarshotError('EARSHOT_ENGINE_MISSING', `${what} is on this node any more.`, {
        hint: 'Run there: earshot models list',
      })
    },
    refresh,
    note(model, found) {
      measured.set(model, found)
      last = undefined
    },
    reject(engine, reason) {
      rejected.set(engine, reason)
      last = undefined
    },
    close: async () => {
      await Promise.all(
        [...new Set([...made, ...given().serving.map(({ engine }) => engine)])].map((engine) =>
          Promise.resolve(engine.close?.()),
        ),
      )
    },
  }
}
