import type { Kind } from '@earshot/contract'

/** What the door serves, each by a kind of job; a name that may mean several means the first. */
export const OPENAI_KINDS = [
  'generate',
  'vectors',
  'transcribe',
  'speak',
] as const satisfies readonly Kind[]
export type OpenAiKind = (typeof OPENAI_KINDS)[number]

/**
 * The names that clients of OpenAI have built in, by what they are for. They stand for whatever the
 * mesh offers; the setting openai_api.aliases says otherwise.
 */
const BUILT_IN: Record<OpenAiKind, RegExp> = {
  // Every name of the sort, since OpenAI's change each year.
  transcribe: /^(?:whisper-\d|gpt-(?!.*tts))/,
  speak: /^(?:tts-\d|gpt-(?!.*transcribe))/,
  generate: /^(?:gpt-[345]|chatgpt-|o[134](?:-|$))/,
  vectors: /^text-embedding-(3-small|3-large|ada-002)$/,
}
/** Names that begin as those of chats do. */
const NO_CHAT = /transcribe|tts/
const SMALL = /mini|nano|3\.5/
const VOICES = new Set([
  'alloy',
  'ash',
  'ballad',
  'coral',
  'echo',
  'fable',
  'nova',
  'onyx',
  'sage',
  'shimmer',
  'verse',
  'marin',
  'cedar',
])

export type Aliases = {
  /** A model's name as the mesh knows it. */
  model(name: string): string
  /**
   * Whether a name means "whatever there is" for this kind, and whether rather a small model than a
   * large one.
   */
  builtIn(kind: OpenAiKind, name: string): false | 'small' | 'large'
  /** A voice's name as engines know it; undefined for the engine's own choice. */
  voice(name: string): string | undefined
}

/** @param own the setting openai_api.aliases */
export function createAliases(own: Readonly<Record<string, string>>): Aliases {
  const lookUp = (name: string): string => (Object.hasOwn(own, name) ? own[name]! : name)
  return {
    model: lookUp,
    builtIn: (kind, name) =>
      BUILT_IN[kind].test(name) &&
      !(kind === 'generate' && NO_CHAT.test(name)) &&
      (SMALL.test(name) ? 'small' : 'large'),
    voice: (name) => (Object.hasOwn(own, name) ? own[name] : VOICES.has(name) ? undefined : name),
  }
}
