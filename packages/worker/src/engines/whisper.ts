import { stat } from 'node:fs/promises'
import os from 'node:os'
import { EarshotError, type Segment } from '@earshot/contract'
import { piecesOf } from '../audio/pieces.ts'
import { BYTES_PER_S } from '../audio/wav.ts'
import { wordsToSegments } from '../text/segments.ts'
import type { EngineReport, Heard, SpeechToText } from './engine.ts'
import { createSerialQueue } from './serial-queue.ts'
import { type FoundBuild, findBuild } from './whisper-build.ts'
import { type WhisperModel, listWhisperModels, quietLimitOf } from './whisper-models.ts'
import {
  type HeardPiece,
  type WhisperBuild,
  type WhisperProcess,
  startWhisper,
} from './whisper-process.ts'
import { UNSPACED, segmentsOf, wordsOf } from './whisper-words.ts'

export type WhisperOptions = {
  /** EARSHOT_HOME: models are in `models/whisper` there. */
  home?: string | undefined
  /** The build to use; by the machine unless given. */
  whisperBuild?: WhisperBuild | undefined
  /**
   * Seconds without a sign of life after which whisper.cpp counts as hung; by the model's size
   * unless given.
   */
  quietLimitS?: number
}

type Hearing = Parameters<SpeechToText['transcribe']>[0]

/** After so long without work its memory is given back. */
const IDLE_MS = 10 * 60_000

/**
 * whisper.cpp, in a process of its own that keeps the last model loaded: a crash or a hang there
 * costs the job in hand, and nothing else. One recording is heard at a time; the next one waits for
 * its turn.
 */
export function createWhisper({
  home,
  whisperBuild,
  quietLimitS,
}: WhisperOptions = {}): SpeechToText {
  const serialQueue = createSerialQueue()
  let found: FoundBuild | undefined
  let running: { model: string; process: WhisperProcess } | undefined
  let idle: NodeJS.Timeout | undefined

  async function probe(signal: AbortSignal = new AbortController().signal): Promise<EngineReport> {
    if (home === undefined || (await listWhisperModels(home)).length === 0)
      return {
        available: false,
        reason: 'There is no model for whisper.cpp.',
        missing: 'whisper-model',
      }
    const build = await findBuild({ home, wanted: whisperBuild })
    if (typeof build === 'string')
      return { available: false, reason: build, missing: 'whisper-build', broken: true }
    try {
      const tried = await startWhisper(
        { native: build.native, model: null, build: build.build },
        { quietLimitS: 60, signal },
      )
      await tried.kill()
    } catch (err) {
      if (!(err instanceof EarshotError)) throw err
      return {
        available: false,
        reason: `The ${build.build} build does not start: ${err.message}`,
        missing: 'whisper-build',
        broken: true,
      }
    }
    found = build
    return {
      available: true,
      version: build.build,
      ...(build.note === undefined ? {} : { note: build.note }),
    }
  }

  /** The process with this model loaded; one with another model makes room for it. */
  async function processFor(model: WhisperModel, signal: AbortSignal): Promise<WhisperProcess> {
    if (running !== undefined && running.model === model.name && !running.process.over)
      return running.process
    await stop()
    if (found === undefined) {
      const report = await probe(signal)
      if (found === undefined)
        throw new EarshotError(
          'EARSHOT_ENGINE_MISSING',
          report.reason ?? 'whisper.cpp is not on this machine.',
        )
    }
    const process = await startWhisper(
      { native: found!.native, model: model.file, build: found!.build },
      { quietLimitS: quietLimitS ?? quietLimitOf(model), signal },
    )
    running = { model: model.name, process }
    return process
  }

  async function stop(): Promise<void> {
    clearTimeout(idle)
    const last = running
    running = undefined
    await last?.process.kill()
  }

  async function need(name: string | undefined): Promise<WhisperModel> {
    const models = home === undefined ? [] : await listWhisperModels(home)
    const model = name === undefined ? models[0] : models.find((one) => one.name === name)
    if (model === undefined)
      throw new EarshotError(
        'EARSHOT_ENGINE_MISSING',
        `There is no model ${name ?? 'for whisper.cpp'} on this node.`,
        { hint: 'Run there: earshot models list' },
      )
    return model
  }

  async function hear({
    wav,
    duration_s,
    model: name,
    language,
    translate,
    prompt,
    temperature,
    onProgress,
    onHeard,
    signal,
  }: Hearing): Promise<Heard> {
    const model = await need(name)
    refuseOther(model, { language, translate })
    const segments: Segment[] = []
    // A model that knows English alone fails on `auto`.
    let spoken = model.multilingual ? language : 'en'
    const wishes = {
      translate: translate === true,
      prompt,
      temperature,
      maxThreads: Math.max(1, Math.min(8, os.availableParallelism())),
    }
    for await (const piece of piecesOf(wav, (await stat(wav)).size)) {
      const endS = Math.min(duration_s, piece.start_s + piece.bytes / BYTES_PER_S)
      const ask = async (more: object): Promise<HeardPiece> => {
        const process = await processFor(model, signal)
        const options = Object.fromEntries(
          Object.entries({ ...wishes, language: spoken ?? 'auto', ...more }).filter(
            ([, value]) => value !== undefined,
          ),
        )
        return process.hear(
          { wav, from: piece.from, bytes: piece.bytes, options },
          signal,
          (part) =>
            onProgress?.(
              (piece.start_s + part * (piece.bytes / BYTES_PER_S)) / Math.max(duration_s, 0.1),
            ),
        )
      }
      // One token a segment, which gives words their times; where a character may be several
      // tokens, that would break the text.
      const byToken = spoken === undefined || translate === true || !UNSPACED.has(spoken)
      const heard = await ask(byToken ? { tokenTimestamps: true, maxLen: 1 } : {})
      spoken ??= heard.language
      const at = { startS: piece.start_s, endS, language: translate === true ? 'en' : spoken }
      const broken =
        byToken &&
        (heard.segments.some(({ text }) => text.includes('\ufffd')) ||
          (translate !== true && UNSPACED.has(spoken ?? '')))
      const some =
        byToken && !broken
          ? wordsToSegments(wordsOf(heard.segments, at))
          : segmentsOf((broken ? await ask({}) : heard).segments, at)
      segments.push(...some)
      onHeard?.(some)
      onProgress?.(Math.min(1, endS / Math.max(duration_s, 0.1)))
    }
    return { words: [], segments, ...(spoken === undefined ? {} : { language: spoken }) }
  }

  return {
    name: 'whisper.cpp',
    kind: 'transcribe',
    parallel: 1,
    changes: true,
    runsHere: true,
    probe,
    models: async () =>
      home === undefined
        ? []
        : (await listWhisperModels(home))
            .sort((a, b) => a.size - b.size)
            .map(({ name, size, multilingual }) => ({
              name,
              size_bytes: size,
              ...(multilingual ? {} : { languages: ['en'], translates: false }),
              loaded: running?.model === name && !running.process.over,
              aliases: [name.slice('whisper-'.length)],
            })),
    transcribe: (input) =>
      serialQueue.take(
        input.signal,
        () => input.onProgress?.(0),
        async () => {
          clearTimeout(idle)
          try {
            return await hear(input)
          } finally {
            idle = setTimeout(() => void stop(), IDLE_MS).unref()
          }
        },
      ),
    close: stop,
  }
}

function refuseOther(
  { name, multilingual }: WhisperModel,
  { language, translate }: { language: string | undefined; translate: boolean | undefined },
): void {
  if (multilingual) return
  if (language !== undefined && language !== 'en')
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      `The model ${name} hears English only, not "${language}".`,
      { field: 'language' },
    )
  if (translate === true && language === undefined)
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      `The model ${name} knows English only and cannot translate.`,
      { field: 'translate' },
    )
}
