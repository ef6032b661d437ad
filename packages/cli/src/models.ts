import { EarshotError } from '@earshot/contract'
import type { Engine, EngineKind, ModelInfo } from '@earshot/worker/engines/engine'
import { engineOptions, probeEngines } from '@earshot/worker/engines/index'
import { WHISPER_MODELS } from '@earshot/worker/models/catalogue'
import { readChosen } from '@earshot/worker/engines/chosen-models'
import { freeMemory, tooBig } from '@earshot/worker/models/memory'
import { readFailures } from '@earshot/worker/self-test'
import type { Context } from './context.ts'

/** A model of this box, or one that it could have. `problem`: why it is not offered. */
export type ModelRow = {
  name: string
  kind: EngineKind
  engine: string
  size_bytes: number | null
  /** here: it can be used; loaded: it is in memory; available: `models pull` gets it. */
  state: 'here' | 'loaded' | 'available'
  default: boolean
  problem: string | null
}

/** The models of every engine that works here, and those of whisper.cpp that could be pulled. */
export async function listModels({ config, interrupts }: Context): Promise<ModelRow[]> {
  const signal = interrupts.first
  const [probed, chosen, free, failures] = await Promise.all([
    probeEngines(signal, engineOptions(config)),
    readChosen(config.home),
    freeMemory(),
    readFailures(config.home),
  ])
  const working = probed.filter(({ report }) => report.available).map(({ engine }) => engine)
  const listed = (
    await Promise.all(
      working.map(async (engine) =>
        (await engine.models(signal)).map((model) => ({ engine, model })),
      ),
    )
  ).flat()
  const problemOf = (engine: Engine, model: ModelInfo) =>
    failures[engine.name] ??
    (engine.runsHere === true && !model.loaded ? tooBig(model.size_bytes, free) : undefined)
  // What is not offered is no one's default.
  const offered = listed.filter(({ engine, model }) => problemOf(engine, model) === undefined)
  const isFirst = (engine: Engine, model: ModelInfo) =>
    offered.find((one) => one.engine.kind === engine.kind)?.model === model
  const isChosen = ({ name, aliases }: ModelInfo, wanted: string) =>
    name === wanted || aliases?.includes(wanted) === true
  const here = listed.map(({ engine, model }): ModelRow => {
    const wanted = chosen[engine.kind]
    const there =
      wanted !== undefined &&
      offered.some((one) => one.engine.kind === engine.kind && isChosen(one.model, wanted))
    return {
      name: model.name,
      kind: engine.kind,
      engine: engine.name,
      size_bytes: model.size_bytes,
      state: model.loaded ? 'loaded' : 'here',
      default: there ? isChosen(model, wanted) : isFirst(engine, model),
      problem: problemOf(engine, model) ?? null,
    }
  })
  const more = WHISPER_MODELS.filter(({ name }) => !here.some((row) => row.name === name)).map(
    ({ name, size }): ModelRow => ({
      name,
      kind: 'transcribe',
      engine: 'whisper.cpp',
      size_bytes: size,
      state: 'available',
      default: false,
      problem: tooBig(size, free) ?? null,
    }),
  )
  return [...here, ...more]
}

/** The error for a name that no one here knows. */
export function unknownModel(name: string, rows: readonly ModelRow[]): EarshotError {
  return new EarshotError('EARSHOT_NOT_FOUND', `There is no model "${name}" on this box.`, {
    field: 'model',
    hint: `There are: ${rows
      .filter(({ state }) => state !== 'available')
      .map((row) => row.name)
      .join(', ')}. Those of Ollama need Ollama to run.`,
  })
}
