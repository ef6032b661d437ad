import type { GenerateDelta, Generated, GenerateRequest, Segment, Word } from '@earshot/contract'

/** Whether an engine works on this machine, found by using it. */
export type EngineReport = {
  available: boolean
  version?: string
  /** Why not, in one sentence. */
  reason?: string
  /**
   * The program whose package mends it, for doctor; see `installCommand` of
   * @earshot/shared/system-packages.
   */
  missing?: string
  /** What would make it better here, when it works. */
  note?: string
  /** Set up here, and yet it does not work: people are told. */
  broken?: boolean
}

/** A model that an engine can use now, by the name under which jobs ask for it. */
export type ModelInfo = {
  name: string
  /**
   * Of its file or files; null where the engine does not say. About as much memory is needed to run
   * it.
   */
  size_bytes: number | null
  /** In memory already. */
  loaded?: boolean
  /** Of its vectors. */
  dimensions?: number
  /** Tokens that it can hold, as its engine says. */
  context?: number
  /** Other names for it. */
  aliases?: readonly string[]
  /** Seconds to load it, as measured here. */
  load_s?: number
  /** Seconds of sound for each second of work, as measured here. */
  rtf?: number
  /** Voices that it speaks in. */
  voices?: readonly string[]
  /** Of speech that it hears, as `en`; without, those of Whisper. */
  languages?: readonly string[]
  /**
   * Whether it writes down in English what was said in another language; it may, unless it says no.
   */
  translates?: boolean
}

type Probing = {
  /** The engine's name as documents and people see it. */
  name: string
  /**
   * Uses the engine once, on next to nothing. An engine that is missing or broken is a report, not
   * an error.
   */
  probe(signal?: AbortSignal): Promise<EngineReport>
  /** What it offers, the default first. Asked after a probe that went well. */
  models(signal?: AbortSignal): Promise<ModelInfo[]>
  /** Whether its models, or whether it is there at all, may change while a worker runs. */
  changes?: boolean
  /** Whether it is a server, which may be slow to answer. */
  remote?: boolean
  /** Whether its models take this machine's memory. */
  runsHere?: boolean
  /** How many jobs it does at once, when it is fewer than a node has slots. */
  parallel?: number
  /** Ends what it keeps running; without it there is nothing. */
  close?(): Promise<void>
}

/** What was heard. Engines that know words give those; the others their own segments. */
export type Heard = { words: Word[]; segments?: Segment[]; language?: string }

/**
 * Speech to words, with times in seconds from the start of the recording and confidences 0 to 1.
 */
export type SpeechToText = Probing & {
  kind: 'transcribe'
  /**
   * Hears a 16 kHz mono 16-bit WAV file, as `decode` makes it. Short-lived files may stand beside
   * it meanwhile. Wishes that an engine cannot grant (a language it has not, translating) are
   * refused with EARSHOT_BAD_REQUEST.
   *
   * @throws EarshotError EARSHOT_BAD_REQUEST, EARSHOT_ENGINE_FAILED, EARSHOT_ENGINE_MISSING,
   *   EARSHOT_DISK_FULL; the signal's reason on abort
   */
  transcribe(input: {
    wav: string
    duration_s: number
    model?: string | undefined
    language?: string | undefined
    translate?: boolean | undefined
    words?: boolean | undefined
    prompt?: string | undefined
    temperature?: number | undefined
    onProgress?: (fraction: number) => void
    /** What was heard of a next part, as soon as it was; all of it comes again in the end. */
    onHeard?: (segments: Segment[]) => void
    signal: AbortSignal
  }): Promise<Heard>
}

/** Text to a mono 16-bit WAV file at `out`, of any sample rate. */
export type TextToSpeech = Probing & {
  kind: 'speak'
  /**
   * @throws EarshotError EARSHOT_BAD_REQUEST (an unknown voice, nothing to say),
   *   EARSHOT_ENGINE_FAILED, EARSHOT_ENGINE_MISSING, EARSHOT_DISK_FULL
   */
  speak(input: {
    text: string
    voice?: string | undefined
    model?: string | undefined
    out: string
    signal: AbortSignal
  }): Promise<{ duration_s: number }>
}

/** Texts to vectors, comparable only with those of the same model. */
export type Embedder = Probing & {
  kind: 'embed'
  /**
   * @param options.onTokens called with how many tokens the texts had, where the engine counts them
   */
  embed(
    texts: readonly string[],
    options: { model: string; signal: AbortSignal; onTokens?: (count: number) => void },
  ): Promise<number[][]>
}

/** A conversation to its next message. */
export type TextGenerator = Probing & {
  kind: 'generate'
  /**
   * @param input `model` is one of its own
   * @param options.onDelta called with each piece of the answer as it is made
   * @param options.onAlive called while there is none, and the engine lives
   * @throws EarshotError EARSHOT_BAD_REQUEST, EARSHOT_CONTEXT_TOO_LONG (more than the model can
   *   hold), EARSHOT_ENGINE_FAILED, EARSHOT_ENGINE_MISSING; the signal's reason on abort
   */
  generate(
    input: GenerateRequest & { model: string },
    options: { onDelta(delta: GenerateDelta): void; onAlive?: () => void; signal: AbortSignal },
  ): Promise<Omit<Generated, 'engine'>>
}

export type Engine = SpeechToText | TextToSpeech | Embedder | TextGenerator
export type EngineKind = Engine['kind']
export type EngineOf<K extends EngineKind> = Extract<Engine, { kind: K }>

/** Where programs are, by name, for those that are not to be found on the PATH. */
export type Programs = Record<string, string>
