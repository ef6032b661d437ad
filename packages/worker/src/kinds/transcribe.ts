import path from 'node:path'
import { type SpeechNeeds, canHear } from '@earshot/shared/languages'
import { decode } from '../audio/decode.ts'
import type { Heard } from '../engines/engine.ts'
import type { Engines } from '../engines/registry.ts'
import type { BuiltIn } from '../handle.ts'
import type { MediaClient } from '../media/client.ts'
import { wordsToSegments } from '../text/segments.ts'

/** Shares of the progress: fetching and decoding are quick beside hearing. */
const DECODED = 0.05

/** The first model that can do it, where the default cannot. */
function modelFor(engines: Engines, wish: SpeechNeeds): string | undefined {
  const first = engines.pick('transcribe')
  if (first === undefined || canHear(first.model, wish)) return undefined
  return engines.serving
    .flatMap(({ engine, models }) => (engine.kind === 'transcribe' ? models : []))
    .find((model) => canHear(model, wish))?.name
}

/**
 * Speech to segments: fetch, decode to 16 kHz mono, hear, cut at pauses, and make sure that the
 * original did not change.
 */
export function createTranscribe({
  media,
  engines,
  maxDurationS,
}: {
  media: MediaClient
  engines: Engines
  maxDurationS: number
}): BuiltIn<'transcribe'> {
  return async (
    { media: hash, model: name, language, translate, words, prompt, temperature, store },
    { signal, dir, progress, emit },
  ) => {
    const { engine, model } = engines.need(
      'transcribe',
      name ?? modelFor(engines, { language, translate }),
    )
    const file = await media.fetch(hash, dir, signal)
    const wav = path.join(dir, 'audio.wav')
    const { duration_s, level_db, silent, warnings } = await decode({
      file,
      out: wav,
      maxDurationS,
      signal,
      onProgress: (part) => progress(part * DECODED),
    })
    // Recognisers make up words in silence.
    const heard: Heard = silent
      ? { words: [], segments: [] }
      : await engine.transcribe({
          wav,
          duration_s,
          model: model.name,
          language,
          translate,
          words,
          prompt,
          temperature,
          signal,
          onProgress: (part) => progress(DECODED + part * (1 - DECODED)),
          onHeard: (some) => some.forEach(({ text }) => emit({ text })),
        })
    await media.verify(hash, signal)
    const all = (heard.segments ?? wordsToSegments(heard.words)).filter(
      ({ text }) => text.trim() !== '',
    )
    const segments = words === false ? all.map((segment) => ({ ...segment, words: [] })) : all
    return {
      duration_s,
      engine: engine.name,
      model: model.name,
      segments,
      level_db,
      ...(segments.length === 0 ? { no_speech: true as const } : {}),
      ...(warnings.length === 0 ? {} : { warnings }),
      ...(heard.language === undefined ? {} : { language: heard.language }),
      ...(store === false ? { text: segments.map(({ text }) => text).join(' ') } : {}),
    }
  }
}
