/**
 * Which languages a node hears, as one of its tags: `,de,en,`. Jobs of kind `transcribe` that name
 * a language require `*,de,*` of it; submit_jobs adds that. One tag, since nodes may hear a hundred
 * languages and the leader reads the tags of all of them.
 */
export const LANGUAGES_TAG = 'languages'

/**
 * What Whisper's models that know more than English hear, and what is taken to be heard by models
 * that do not say.
 */
export const WHISPER_LANGUAGES: readonly string[] = (
  'af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ' +
  'ne nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh'
).split(' ')

/** The tag of a node that hears these. */
export const languagesTag = (languages: Iterable<string>): string =>
  `,${[...new Set(languages)].sort().join(',')},`

/** What a job requires of the tag, by its language. */
export const languageRequirement = (language: string): string => `*,${language},*`

/** The languages of a tag; the one of a need. Empty for what is neither. */
export const languagesIn = (text: unknown): string[] =>
  typeof text === 'string' ? text.split(',').filter((part) => /^[a-z]{2,3}$/.test(part)) : []

/**
 * Languages for people: up to ten of them.
 *
 * @example
 * languagesText(['de', 'en']) // 'de, en'
 */
export const languagesText = (languages: readonly string[]): string =>
  languages.length > 10
    ? `${languages.slice(0, 9).join(', ')} and ${languages.length - 9} more`
    : languages.join(', ')

/**
 * Whether a model hears this language, and can do what is asked with it: anyone who translates
 * English has nothing to do.
 *
 * @param model what it does not say of itself, it is taken to be able to do as Whisper is
 */
export function canHear(
  {
    languages = WHISPER_LANGUAGES,
    translates = true,
  }: { languages?: readonly string[]; translates?: boolean },
  { language, translate }: SpeechNeeds,
): boolean {
  return (
    (language === undefined || languages.includes(language)) &&
    (translates || translate !== true || language === 'en')
  )
}

/** Of speech: its language, and whether it is to be written down in English. */
export type SpeechNeeds = { language?: string | undefined; translate?: boolean | undefined }
