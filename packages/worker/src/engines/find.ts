import { setTimeout as sleep } from 'node:timers/promises'
import { EarshotError } from '@earshot/contract'
import { readChosen } from './chosen-models.ts'
import { freeMemory, tooBig } from '../models/memory.ts'
import type { Engine, EngineReport, ModelInfo, Programs } from './engine.ts'
import { ENGINES, type EngineOptions } from './index.ts'
import { type Engines, type Known, type Serving, createRegistry } from './registry.ts'
import { runProgram } from '../process/run-program.ts'
import { removeOldFolders } from '../process/scratch.ts'

/**
 * A node joins without a server that takes longer than this to say that it is there; it is offered
 * as soon as it did.
 */
const PATIENCE_MS = 1_000
/** A server that does not say in this time what it has is taken for gone. */
const SERVER_MS = 10_000

type Looked = {
  engine: Engine
  report?: EngineReport
  models: ModelInfo[]
  looking?: Promise<void>
}

/**
 * The engines that work on this machine, with their models. Without ffmpeg nothing is transcribed.
 * `refresh` looks again at those that may change while a worker runs; models that do not fit into
 * memory are not offered.
 *
 * @example
 * createWorker({ db, config, log, engines: await findEngines() })
 */
export async function findEngines(
  signal?: AbortSignal,
  options: EngineOptions = {},
): Promise<Engines> {
  await removeOldFolders()
  const all: Looked[] = ENGINES.flatMap((create) => create(options)).map((engine) => ({
    engine,
    models: [],
  }))
  const decodes = await Promise.all([
    canDecode(options.programs ?? {}, signal),
    ...all.map((one) => lookSoon(one, signal)),
  ]).then(([can]) => can)
  let known = await sum()

  async function sum(): Promise<Known> {
    const notOffered: Record<string, string> = {}
    const free = all.some(({ engine, models }) => engine.runsHere && models.length > 0)
      ? await freeMemory()
      : Infinity
    const serving = all.flatMap(({ engine, report, models }): Serving[] => {
      if (report === undefined || (engine.kind === 'transcribe' && !decodes)) return []
      // What was never set up here is no news.
      if (!report.available && report.broken === true)
        notOffered[engine.name] = report.reason ?? 'It does not work here.'
      if (!report.available) return []
      // What an engine has loaded makes room for the next model it is asked for.
      const own = all
        .filter((other) => other.engine.name === engine.name)
        .flatMap((other) => other.models)
        .reduce((sum, { loaded, size_bytes }) => sum + (loaded ? (size_bytes ?? 0) : 0), 0)
      const fitting = models.filter(({ name, size_bytes, loaded }) => {
        const reason = engine.runsHere && !loaded ? tooBig(size_bytes, free + own) : undefined
        if (reason !== undefined) notOffered[name] = reason
        return reason === undefined
      })
      return fitting.length === 0 ? [] : [{ engine, models: fitting }]
    })
    return {
      serving,
      notOffered,
      defaults: options.home === undefined ? {} : await readChosen(options.home),
    }
  }

  return createRegistry(
    () => known,
    async (abort) => {
      await Promise.all(
        all.filter(({ engine }) => engine.changes).map((one) => lookSoon(one, abort)),
      )
      known = await sum()
    },
    all.map(({ engine }) => engine),
  )
}

/** Looks, but does not wait for long; anyone who looks next sees what came of it. */
async function lookSoon(one: Looked, signal?: AbortSignal): Promise<void> {
  one.looking ??= look(one, signal).finally(() => {
    delete one.looking
  })
  const patience = new AbortController()
  const slow =
    one.engine.remote === true
      ? [sleep(PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => {})]
      : []
  await Promise.race([one.looking, ...slow]).finally(() => patience.abort())
}

async function look(one: Looked, signal?: AbortSignal): Promise<void> {
  const { engine } = one
  const late = engine.remote === true ? AbortSignal.timeout(SERVER_MS) : undefined
  const either =
    late === undefined || signal === undefined ? (late ?? signal) : AbortSignal.any([late, signal])
  try {
    const report = one.report?.available ? one.report : await engine.probe(either)
    one.models = report.available ? await engine.models(either) : []
    one.report = report
  } catch (err) {
    if (!(err instanceof EarshotError) && late?.aborted !== true) throw err
    one.report = {
      available: false,
      reason:
        err instanceof EarshotError
          ? err.message
          : `It did not answer within ${SERVER_MS / 1000} s.`,
    }
    one.models = []
  }
}

async function canDecode(programs: Programs, signal?: AbortSignal): Promise<boolean> {
  try {
    const asked = ['ffmpeg', 'ffprobe'].map((name) =>
      runProgram({ program: programs[name] ?? name, args: ['-version'], signal, quietLimitS: 30 }),
    )
    return (await Promise.all(asked)).every(({ code }) => code === 0)
  } catch (err) {
    if (err instanceof EarshotError) return false
    throw err
  }
}
