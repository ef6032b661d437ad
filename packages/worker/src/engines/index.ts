import type { Config } from '@earshot/shared/config'
import type { Engine, EngineReport, Programs } from './engine.ts'
import { createEspeak } from './espeak.ts'
import { createFlite } from './flite.ts'
import { createLexical } from './lexical.ts'
import type { Patience } from './server-watchdog.ts'
import { createOllama } from './ollama.ts'
import { createOpenAi } from './openai.ts'
import { createPiper } from './piper.ts'
import { createPocketsphinx } from './pocketsphinx.ts'
import { createWhisperNode } from './whisper-node.ts'
import { createWhisper } from './whisper.ts'
import type { WhisperBuild } from './whisper-process.ts'

/** What engines are made with. */
export type EngineOptions = {
  /** Where programs are that are not on the PATH. */
  programs?: Programs
  /** Where Ollama answers. */
  ollamaHost?: string
  /** Servers that speak OpenAI's protocol, by their base addresses. */
  openaiUrls?: readonly string[]
  openaiKey?: string | undefined
  /** EARSHOT_HOME, where models lie. */
  home?: string
  /** The build of whisper.cpp to use; by the machine unless given. */
  whisperBuild?: WhisperBuild | undefined
  /** With servers that are silent. */
  patience?: Partial<Patience>
}

/** The settings that engines are made with. */
export const engineOptions = ({
  home,
  ollamaHost,
  openaiServers,
  whisper,
  engines,
}: Pick<
  Config,
  'home' | 'ollamaHost' | 'openaiServers' | 'whisper' | 'engines'
>): EngineOptions => ({
  home,
  ollamaHost,
  openaiUrls: openaiServers.urls,
  openaiKey: openaiServers.key ?? undefined,
  whisperBuild: whisper.build ?? undefined,
  patience: { silenceS: engines.silenceS },
})

/**
 * Every engine there is, the preferred one of a kind first. To add one: a file beside this one, and
 * a line here.
 */
export const ENGINES: readonly ((options: EngineOptions) => Engine | Engine[])[] = [
  createWhisper,
  createOpenAi,
  createOllama,
  createWhisperNode,
  createPocketsphinx,
  createPiper,
  createFlite,
  createEspeak,
  createLexical,
]

export type Probed = { engine: Engine; report: EngineReport }

/**
 * Tries every engine out, all at once; takes a second or two.
 *
 * @example
 * for (const { engine, report } of await probeEngines()) console.log(engine.name, report.available, report.reason)
 */
export function probeEngines(signal?: AbortSignal, options: EngineOptions = {}): Promise<Probed[]> {
  return Promise.all(
    ENGINES.flatMap((create) => create(options)).map(async (engine) => ({
      engine,
      report: await engine.probe(signal),
    })),
  )
}
