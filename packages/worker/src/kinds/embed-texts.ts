import { EarshotError } from '@earshot/contract'
import type { Picked } from '../engines/registry.ts'

/** Texts embedded at once: keeps signs of life coming and memory flat. */
const BATCH = 64
/**
 * A search's query waits behind the texts that its engine has in hand: a slow box is to be through
 * with them within a second.
 */
const BACKGROUND_BATCH = 8

type Options = {
  signal: AbortSignal
  /** Texts at once; 64 unless given. */
  batch?: number
  /** Gets how many texts are done. */
  progress?: (done: number) => void
  /** Gets how many tokens the next texts had, where the engine counts them. */
  onTokens?: (count: number) => void
  /** Gets a batch that holds a text that is too long for the model; without it that is an error. */
  tooLong?: (texts: readonly string[]) => Promise<number[][]>
}

/**
 * Texts to as many vectors of one size.
 *
 * @throws EarshotError EARSHOT_ENGINE_FAILED where the engine answers anything else; what the
 *   engine throws
 */
export async function embedTexts(
  { engine, model }: Picked<'embed'>,
  texts: readonly string[],
  { signal, batch: size = BATCH, progress, onTokens, tooLong }: Options,
): Promise<number[][]> {
  const vectors: number[][] = []
  for (let at = 0; at < texts.length; at += size) {
    const batch = texts.slice(at, at + size)
    const made = await engine
      .embed(batch, { model: model.name, signal, ...(onTokens && { onTokens }) })
      .catch((err: unknown) => {
        if (tooLong === undefined || !isTooLong(err)) throw err
        return tooLong(batch)
      })
    vectors.push(...made)
    if (
      made.length !== batch.length ||
      made.some((vector) => vector.length !== vectors[0]!.length || !vector.every(Number.isFinite))
    ) {
      throw new EarshotError(
        'EARSHOT_ENGINE_FAILED',
        `${engine.name} answered ${batch.length} texts with what are not as many vectors.`,
      )
    }
    progress?.(vectors.length)
  }
  return vectors
}

/**
 * The same in the background, a few at a time, and where texts may be longer than the model can
 * hold: the vector of such a one is the mean of those of its halves.
 *
 * @param prefix goes before each text and each half
 */
export function embedInBackground(
  picked: Picked<'embed'>,
  texts: readonly string[],
  { prefix, ...options }: Pick<Options, 'signal' | 'progress'> & { prefix: string },
): Promise<number[][]> {
  const each = async (batch: readonly string[]): Promise<number[][]> => {
    const made: number[][] = []
    for (const text of batch) made.push(await whole(text.slice(prefix.length)))
    return made
  }
  const whole = async (text: string): Promise<number[]> => {
    try {
      return (await embedTexts(picked, [prefix + text], { signal: options.signal }))[0]!
    } catch (err) {
      if (!isTooLong(err) || text.length < 2) throw err
      const blank = text.lastIndexOf(' ', text.length / 2)
      const middle = blank > text.length / 4 ? blank : Math.floor(text.length / 2)
      return mean(await whole(text.slice(0, middle)), await whole(text.slice(middle)))
    }
  }
  return embedTexts(
    picked,
    texts.map((text) => prefix + text),
    { ...options, batch: BACKGROUND_BATCH, tooLong: each },
  )
}

const isTooLong = (err: unknown): boolean =>
  err instanceof EarshotError &&
  (err.code === 'EARSHOT_CONTEXT_TOO_LONG' || err.code === 'EARSHOT_TOO_LARGE')

/** Of their directions: a model may give vectors of any length. */
function mean(a: readonly number[], b: readonly number[]): number[] {
  const [ofA, ofB] = [Math.hypot(...a) || 1, Math.hypot(...b) || 1]
  return a.map((value, at) => value / ofA + (b[at] ?? 0) / ofB)
}
