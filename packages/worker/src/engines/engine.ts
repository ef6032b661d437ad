import type { Word } from '@earshot/shared/contract'

/** Whether an engine works on this machine, found by using it. */
export type EngineReport = {
  available: boolean
  version?: string
  /** Why not, in one sentence. */
  reason?: string
  /** The program whose package mends it, for doctor; see `installCommand` of @earshot/shared/system-packages. */
  missing?: string
}

type Probing = {
  /** The engine's name as documents and people see it. */
  name: string
  /** Uses the engine once, on next to nothing. An engine that is missing or broken is a report, not an error. */
  probe(signal?: AbortSignal): Promise<EngineReport>
}

/** Speech to words, with times in seconds from the start of the recording and confidences 0 to 1. */
export type SpeechToText = Probing & {
  kind: 'transcribe'
  /**
   * Hears a 16 kHz mono 16-bit WAV file, as `decode` makes it. Short-lived files may stand beside it meanwhile.
   *
   * @throws EarshotError EARSHOT_ENGINE_FAILED, EARSHOT_ENGINE_MISSING, EARSHOT_DISK_FULL; the signal's reason on abort
   */
  transcribe(input: { wav: string; duration_s: number; onProgress?: (fraction: number) => void; signal: AbortSignal }): Promise<{ words: Word[] }>
}

/** Text to a 16 kHz mono 16-bit WAV file at `out`. */
export type TextToSpeech = Probing & {
  kind: 'speak'
  /**
   * @throws EarshotError EARSHOT_BAD_REQUEST (an unknown voice, nothing to say), EARSHOT_ENGINE_FAILED,
   * EARSHOT_ENGINE_MISSING, EARSHOT_DISK_FULL
   */
  speak(input: { text: string; voice?: string | undefined; out: string; signal: AbortSignal }): Promise<{ duration_s: number }>
}

/** Texts to unit vectors of `dimensions` numbers, comparable only with those of the same `model`. */
export type Embedder = Probing & {
  kind: 'embed'
  model: string
  dimensions: number
  embed(texts: readonly string[], signal: AbortSignal): Promise<number[][]>
}

export type Engine = SpeechToText | TextToSpeech | Embedder

/** Where programs are, by name, for those that are not to be found on the PATH. */
export type Programs = Record<string, string>
