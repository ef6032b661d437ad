import path from 'node:path'
import { decode } from '../audio/decode.ts'
import type { SpeechToText } from '../engines/engine.ts'
import type { BuiltIn } from '../handle.ts'
import type { MediaClient } from '../media.ts'
import { wordsToSegments } from '../text/segments.ts'

/** Shares of the progress: fetching and decoding are quick beside hearing. */
const DECODED = 0.05

/** Speech to segments: fetch, decode to 16 kHz mono, hear, cut at pauses, and make sure that the original did not change. */
export function createTranscribe({ media, engine, maxDurationS }: { media: MediaClient; engine: SpeechToText; maxDurationS: number }): BuiltIn<'transcribe'> {
  return async ({ media: hash }, { signal, dir, progress }) => {
    const file = await media.fetch(hash, dir, signal)
    const wav = path.join(dir, 'audio.wav')
    const { duration_s } = await decode({ file, out: wav, maxDurationS, signal, onProgress: (part) => progress(part * DECODED) })
    const { words } = await engine.transcribe({ wav, duration_s, signal, onProgress: (part) => progress(DECODED + part * (1 - DECODED)) })
    await media.verify(hash, signal)
    return { duration_s, engine: engine.name, segments: wordsToSegments(words) }
  }
}
