import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EarshotError } from '@earshot/contract'
import type { Log } from '@earshot/shared/log'
import { VERSION } from '@earshot/shared/version'
import { z } from 'zod'
import { decode } from './audio/decode.ts'
import { HEADER_BYTES } from './audio/wav.ts'
import type { ModelInfo, SpeechToText, TextToSpeech } from './engines/engine.ts'
import type { Engines, Serving } from './engines/registry.ts'
import { inFolder } from './process/scratch.ts'
import { isDiskFull } from './verdict.ts'

/** The first seconds belong to work that has waited for this node. */
const AFTER_MS = 3_000
/**
 * What takes longer says nothing of the engine: it may have waited for its turn behind a long
 * recording. One that hangs is found out by its own watchdog before.
 */
const LIMIT_MS = 60 * 60_000
/** Said and heard: every recogniser knows these words, and few are like others. */
const SENTENCE = 'the weather report says rain in the morning'
/**
 * Of the words, so many must be heard. Synthetic voices are hard to understand; nothing at all is
 * not a matter of the voice.
 */
const ENOUGH = 1 / 4
/** Mean of the samples' absolute values, of 32,768: below there is only silence. */
const SILENCE = 50

type Clip = { wav: string; duration_s: number }
/** `rtf`: seconds of sound for each second of work. */
export type SelfTest = { ok: true; load_s: number; rtf: number } | { ok: false; reason: string }

const Results = z.record(
  z.string(),
  z.union([
    z.object({ ok: z.literal(true), load_s: z.number(), rtf: z.number() }),
    z.object({ ok: z.literal(false), reason: z.string(), engine: z.string() }),
  ]),
)
type Results = z.output<typeof Results>
const fileOf = (home: string) => path.join(home, 'self-test.json')

/** What the last self-test on this box found wrong: engine to reason. */
export async function readFailures(home: string): Promise<Record<string, string>> {
  return Object.fromEntries(
    Object.values(await readResults(home)).flatMap((one) =>
      one.ok ? [] : [[one.engine, one.reason]],
    ),
  )
}

async function readResults(home: string): Promise<Results> {
  try {
    return Results.parse(JSON.parse(await readFile(fileOf(home), 'utf8')))
  } catch {
    return {}
  }
}

async function writeResults(home: string, results: Results): Promise<void> {
  const beside = `${fileOf(home)}.${process.pid}.part`
  await mkdir(home, { recursive: true })
  await writeFile(beside, `${JSON.stringify(results, null, 2)}\n`)
  await rename(beside, fileOf(home))
}

export type SelfTestOptions = {
  engines: Engines
  home: string
  log: Log
  /** Something is known now that was not: it is to be offered, or no longer. */
  onChange: () => void
  /** A speed, for routing: `seconds` of work for `duration_s` of sound. */
  onSpeed: (kind: string, seconds: number, output: { duration_s: number }) => void
  afterMs?: number
}

/**
 * Has each engine of this box that speaks or hears prove itself with its default model, one after
 * the other, while the node works already: says a sentence, hears it, looks at what came of it,
 * measures. What failed is no longer offered. What went well is kept in EARSHOT_HOME and not tried
 * again until engine, model or Earshot change. Servers are not tried: that might cost someone
 * money.
 *
 * @returns ends it
 */
export function startSelfTest(options: SelfTestOptions): {
  stop(): Promise<void>
  done: Promise<void>
} {
  const abort = new AbortController()
  const { log } = options
  const done = testAll(options, abort.signal).catch((err: unknown) => {
    if (!abort.signal.aborted) log.warn({ err }, 'The self-test broke off')
  })
  return {
    done,
    stop: async () => {
      abort.abort(new Error('The worker stops.'))
      await done
    },
  }
}

async function testAll(
  { engines, home, log, onChange, onSpeed, afterMs = AFTER_MS }: SelfTestOptions,
  signal: AbortSignal,
): Promise<void> {
  const known = await readResults(home)
  const tested: Results = {}
  await sleep(afterMs, undefined, { signal })
  const local = engines.serving.filter(({ engine }) => engine.remote !== true)
  if (local.length === 0) return
  // Who speaks is first: the others hear it.
  const speakers = local.filter(speaks)
  const hearers = local.filter(hears)
  await inFolder('self-test', async (dir) => {
    const clips: Clip[] = []
    const isUnproven = ({ engine, models }: Serving) =>
      known[keyOf(engine.name, models[0]!)]?.ok !== true
    const mustSpeak = hearers.some(isUnproven)
    for (const { engine, models } of [...speakers, ...hearers]) {
      const model = models[0]!
      const key = keyOf(engine.name, model)
      const before = known[key]
      const isSpeaker = engine.kind === 'speak'
      if (before?.ok === true && !(isSpeaker && mustSpeak)) {
        tested[key] = before
        engines.note(model.name, { load_s: before.load_s, rtf: before.rtf })
        continue
      }
      const limited = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)])
      const result = await prove(
        isSpeaker
          ? trySpeaking(engine as TextToSpeech, model, dir, limited).then(
              ({ spoken, ...found }) => {
                if (spoken !== undefined) clips.push(spoken)
                return found
              },
            )
          : tryHearing(engine as SpeechToText, model, clips, limited),
        limited,
        signal,
      )
      if (result === undefined) continue
      if (result.ok) {
        tested[key] = { ok: true, load_s: result.load_s, rtf: result.rtf }
        engines.note(model.name, { load_s: result.load_s, rtf: result.rtf })
        if (!isSpeaker) onSpeed('transcribe', 1 / result.rtf, { duration_s: 1 })
        log.info(
          { engine: engine.name, model: model.name, load_s: result.load_s, rtf: result.rtf },
          'An engine proved itself',
        )
      } else {
        tested[key] = { ok: false, reason: result.reason, engine: engine.name }
        engines.reject(engine.name, result.reason)
        log.error(
          { engine: engine.name, model: model.name, reason: result.reason },
          'An engine failed its self-test and is not offered',
        )
      }
      onChange()
    }
  })
  await writeResults(home, tested)
  onChange()
}

const speaks = (one: Serving): boolean => one.engine.kind === 'speak'
const hears = (one: Serving): boolean => one.engine.kind === 'transcribe'
const keyOf = (engine: string, { name, size_bytes }: ModelInfo) =>
  createHash('sha256')
    .update(JSON.stringify([VERSION, engine, name, size_bytes]))
    .digest('hex')
    .slice(0, 24)
const round = (value: number) => Number(value.toPrecision(3))

/**
 * A failure is a result; undefined when it took too long, where nothing could be tried, and where
 * the disk is full, which is no engine's fault.
 */
async function prove(
  work: Promise<SelfTest | undefined>,
  limited: AbortSignal,
  signal: AbortSignal,
): Promise<SelfTest | undefined> {
  try {
    return await work
  } catch (err) {
    signal.throwIfAborted()
    if (
      limited.aborted ||
      isDiskFull(err) ||
      (err instanceof EarshotError && err.code === 'EARSHOT_DISK_FULL')
    )
      return undefined
    return {
      ok: false,
      reason:
        err instanceof EarshotError
          ? err.message
          : `It broke: ${err instanceof Error ? err.message : String(err)}`,
    }
  }
}

async function trySpeaking(
  engine: TextToSpeech,
  model: ModelInfo,
  dir: string,
  signal: AbortSignal,
): Promise<SelfTest & { spoken?: Clip }> {
  const file = path.join(dir, `${engine.name}.wav`)
  const began = performance.now()
  const { duration_s } = await engine.speak({
    text: SENTENCE,
    model: model.name,
    out: file,
    signal,
  })
  const seconds = (performance.now() - began) / 1000
  const wav = path.join(dir, `${engine.name}-16k.wav`)
  await decode({ file, out: wav, signal })
  if (loudness(await readFile(wav)) < SILENCE)
    return { ok: false, reason: 'It was to say a sentence and gave silence.' }
  return { ok: true, load_s: 0, rtf: round(duration_s / seconds), spoken: { wav, duration_s } }
}

/**
 * By the voices one after the other, until one is understood: that of Piper may well be a German
 * one.
 */
async function tryHearing(
  engine: SpeechToText,
  model: ModelInfo,
  clips: readonly Clip[],
  signal: AbortSignal,
): Promise<SelfTest | undefined> {
  // The sentence is English.
  if (model.languages?.includes('en') === false) return undefined
  let failed: SelfTest | undefined
  for (const clip of clips) {
    const result = await hearClip(engine, model, clip, signal)
    if (result.ok) return result
    failed ??= result
  }
  return failed
}

async function hearClip(
  engine: SpeechToText,
  model: ModelInfo,
  clip: Clip,
  signal: AbortSignal,
): Promise<SelfTest> {
  const hear = async () => {
    const began = performance.now()
    const heard = await engine.transcribe({
      wav: clip.wav,
      duration_s: clip.duration_s,
      model: model.name,
      language: 'en',
      signal,
    })
    return { heard, seconds: (performance.now() - began) / 1000 }
  }
  const first = await hear()
  const text = [
    ...first.heard.words.map((word) => word.text),
    ...(first.heard.segments ?? []).map((segment) => segment.text),
  ]
    .join(' ')
    .toLowerCase()
  const said = SENTENCE.split(' ')
  const found = said.filter((word) => text.split(/[^a-z]+/).includes(word)).length
  if (found / said.length < ENOUGH)
    return {
      ok: false,
      reason: `It was to hear "${SENTENCE}" and heard ${text === '' ? 'nothing' : `"${text.slice(0, 100)}"`}.`,
    }
  // One that keeps its model loaded is faster from now on.
  const second = engine.runsHere === true ? await hear() : first
  return {
    ok: true,
    load_s: round(Math.max(0, first.seconds - second.seconds)),
    rtf: round(clip.duration_s / second.seconds),
  }
}

function loudness(wav: Buffer): number {
  let sum = 0
  for (let at = HEADER_BYTES; at + 1 < wav.length; at += 2) sum += Math.abs(wav.readInt16LE(at))
  return sum / Math.max(1, (wav.length - HEADER_BYTES) / 2)
}
