import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError, type Segment, type Word } from '@earshot/contract'
import { type Stretch, copyWithPauses, sourceTime } from '../audio/utterances.ts'
import { BYTES_PER_S, wavHeader } from '../audio/wav.ts'
import { wordsToSegments } from '../text/segments.ts'
import type { EngineReport, Programs, SpeechToText } from './engine.ts'
import { parseLine08, parseLine5 } from './pocketsphinx-output.ts'
import { endedBadly, runProgram } from '../process/run-program.ts'
import { inFolder } from '../process/scratch.ts'

type Variant = {
  program: string
  version: string
  args(wav: string): string[]
  parse(line: string): Word[]
}

/**
 * 0.8 first where both are: of 15 sentences in flite's voice it got 7 words in 100 wrong, 5.1 got
 * 13.
 */
const VARIANTS: readonly Variant[] = [
  {
    program: 'pocketsphinx_continuous',
    version: '0.8',
    args: (wav) => ['-infile', wav, '-time', 'yes'],
    parse: parseLine08,
  },
  { program: 'pocketsphinx', version: '5', args: (wav) => ['live', wav], parse: parseLine5 },
]
/**
 * An utterance has up to 20 seconds and prints when it is done, so that this allows for a machine 6
 * times slower than speech, and 15 times slower than one core of today.
 */
const QUIET_LIMIT_S = 120
const MEMORY_MB = 4096
const MODEL = 'pocketsphinx-en-us'

/**
 * PocketSphinx with its English model: the small recogniser that needs no download. Uses the 5.x
 * program `pocketsphinx` or the 0.8 program `pocketsphinx_continuous`, whichever works here.
 *
 * @example
 * const { words } = await createPocketsphinx().transcribe({ wav: '/tmp/job/audio.wav', duration_s: 61.5, signal })
 */
export function createPocketsphinx({ programs = {} }: { programs?: Programs } = {}): SpeechToText {
  const variants = VARIANTS.map((variant) => ({
    ...variant,
    program: programs[variant.program] ?? variant.program,
  }))
  let chosen: Variant | undefined

  async function choose(signal?: AbortSignal): Promise<EngineReport> {
    const problems: EarshotError[] = []
    for (const variant of variants) {
      const problem = await tryOut(variant, signal)
      if (problem === null) {
        chosen = variant
        return { available: true, version: variant.version }
      }
      problems.push(problem)
    }
    // A program that is there and broken says more than one that is not.
    const told = problems.find(({ code }) => code !== 'EARSHOT_ENGINE_MISSING') ?? problems.at(-1)
    return {
      available: false,
      reason: told?.message ?? 'PocketSphinx is not on this machine.',
      missing: 'pocketsphinx',
    }
  }

  return {
    name: 'pocketsphinx',
    kind: 'transcribe',
    probe: choose,
    models: async () => [{ name: MODEL, size_bytes: null, languages: ['en'], translates: false }],
    async transcribe({ wav, duration_s, language = 'en', onProgress, onHeard, signal }) {
      // What it hears is English already: to translate it is nothing to do.
      if (language !== 'en') {
        throw new EarshotError(
          'EARSHOT_BAD_REQUEST',
          `PocketSphinx hears English only, not "${language}".`,
          { field: 'language', hint: 'Choose another model: earshot models list' },
        )
      }
      const report = chosen === undefined ? await choose(signal) : null
      if (chosen === undefined)
        throw new EarshotError(
          'EARSHOT_ENGINE_MISSING',
          report?.reason ?? 'PocketSphinx is not on this machine.',
        )
      const copy = `${wav}.utterances.wav`
      try {
        const stretches = await copyWithPauses({ wav, out: copy, signal })
        if (stretches.length === 0) return { words: [], language }
        const words = await hear(chosen, {
          copy,
          stretches,
          duration_s,
          onProgress,
          onHeard,
          signal,
        })
        onProgress?.(1)
        return { words, language }
      } finally {
        await rm(copy, { force: true })
      }
    },
  }
}

type Hearing = {
  copy: string
  stretches: readonly Stretch[]
  duration_s: number
  onProgress: ((fraction: number) => void) | undefined
  onHeard: ((segments: Segment[]) => void) | undefined
  signal: AbortSignal
}

async function hear(
  variant: Variant,
  { copy, stretches, duration_s, onProgress, onHeard, signal }: Hearing,
): Promise<Word[]> {
  const words: Word[] = []
  const ended = await runProgram({
    program: variant.program,
    args: variant.args(copy),
    signal,
    quietLimitS: QUIET_LIMIT_S,
    limits: { memoryMb: MEMORY_MB },
    onLine: (line) => {
      const before = words.length
      for (const word of readLine(variant, line))
        words.push(inSource(word, stretches, words.at(-1), duration_s))
      // 0.8 prints a word a line.
      if (words.length > before) onHeard?.(wordsToSegments(words.slice(before)))
      const reached = words.at(-1)?.end_s
      if (reached !== undefined && duration_s > 0) onProgress?.(Math.min(1, reached / duration_s))
    },
  })
  if (ended.code !== 0) throw endedBadly(path.basename(variant.program), ended)
  return words
}

function readLine(variant: Variant, line: string): Word[] {
  try {
    return variant.parse(line)
  } catch (err) {
    throw new EarshotError(
      'EARSHOT_ENGINE_FAILED',
      `${path.basename(variant.program)} printed what is no result: ${line.slice(0, 100)}`,
      { cause: err },
    )
  }
}

/**
 * Words never end before they begin, begin before the one in front ends, or lie beyond the
 * recording.
 */
function inSource(
  word: Word,
  stretches: readonly Stretch[],
  before: Word | undefined,
  durationS: number,
): Word {
  const inside = (time: number, least: number) =>
    Math.max(least, Math.min(Math.max(durationS, least), Math.round(time * 1000) / 1000))
  const start_s = inside(sourceTime(stretches, word.start_s), before?.end_s ?? 0)
  return { ...word, start_s, end_s: inside(sourceTime(stretches, word.end_s), start_s) }
}

/** Hears half a second of silence, which needs the program and its models. */
async function tryOut(variant: Variant, signal?: AbortSignal): Promise<EarshotError | null> {
  try {
    const ended = await inFolder('probe', async (dir) => {
      const wav = path.join(dir, 'silence.wav')
      await writeFile(
        wav,
        Buffer.concat([wavHeader(BYTES_PER_S / 2), Buffer.alloc(BYTES_PER_S / 2)]),
      )
      return runProgram({
        program: variant.program,
        args: variant.args(wav),
        signal,
        quietLimitS: 60,
        limits: { memoryMb: MEMORY_MB },
      })
    })
    return ended.code === 0 ? null : endedBadly(path.basename(variant.program), ended)
  } catch (err) {
    if (err instanceof EarshotError) return err
    throw err
  }
}
