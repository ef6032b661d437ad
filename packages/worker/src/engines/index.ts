import { EarshotError } from '@earshot/shared/contract'
import type { Embedder, Engine, EngineReport, Programs, SpeechToText, TextToSpeech } from './engine.ts'
import { createFlite } from './flite.ts'
import { createLexical } from './lexical.ts'
import { createPocketsphinx } from './pocketsphinx.ts'
import { runProgram } from './run-program.ts'

/** Every engine there is, the preferred one of a kind first. To add one: a file beside this one, and a line here. */
export const ENGINES: readonly ((options: { programs: Programs }) => Engine)[] = [createPocketsphinx, createFlite, createLexical]

/** The engine that serves each kind on this machine; a kind without one is not offered. */
export type Engines = { transcribe?: SpeechToText; speak?: TextToSpeech; embed?: Embedder }

export type Probed = { engine: Engine; report: EngineReport }

/**
 * Tries every engine out, all at once; takes a second or two.
 *
 * @param programs where programs are that are not on the PATH
 * @example
 * for (const { engine, report } of await probeEngines()) console.log(engine.name, report.available, report.reason)
 */
export function probeEngines(signal?: AbortSignal, programs: Programs = {}): Promise<Probed[]> {
  return Promise.all(ENGINES.map(async (create) => {
    const engine = create({ programs })
    return { engine, report: await engine.probe(signal) }
  }))
}

/**
 * The first engine of each kind that works on this machine. Without ffmpeg nothing is transcribed.
 *
 * @example
 * createWorker({ db, config, log, engines: await findEngines() })
 */
export async function findEngines(signal?: AbortSignal, programs: Programs = {}): Promise<Engines> {
  const [decodes, probed] = await Promise.all([canDecode(programs, signal), probeEngines(signal, programs)])
  const engines: Engines = {}
  for (const { engine, report } of probed) {
    if (!report.available) continue
    if (engine.kind === 'speak') engines.speak ??= engine
    else if (engine.kind === 'embed') engines.embed ??= engine
    else if (decodes) engines.transcribe ??= engine
  }
  return engines
}

async function canDecode(programs: Programs, signal?: AbortSignal): Promise<boolean> {
  try {
    const asked = ['ffmpeg', 'ffprobe'].map((name) => runProgram({ program: programs[name] ?? name, args: ['-version'], signal, quietLimitS: 30 }))
    return (await Promise.all(asked)).every(({ code }) => code === 0)
  } catch (err) {
    if (err instanceof EarshotError) return false
    throw err
  }
}
