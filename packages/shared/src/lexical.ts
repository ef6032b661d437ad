/**
 * The name of the built-in embedder's model, as chunks carry it. Any change to what it computes
 * needs a new name.
 */
export const LEXICAL_MODEL = 'lexical-384'
export const LEXICAL_DIMENSIONS = 384

/**
 * From this cosine on a text counts as found though it holds no word of the query.
 *
 * Measured on 13 English texts (licences, manuals, change logs), 8,000 random chunks for each of 8,
 * 15, 60 and 120 words. A query of one to five words that are not in the chunk reaches 0.01 to 0.04
 * (median), 0.17 (1 in 100), 0.26 (1 in 1,000); the one in ten thousand above 0.35 shares most of
 * its letters with a word of the chunk. Two words that are in the chunk give 0.59 (median) among 8
 * words, 0.27 among 60; their near forms (with or without -s) 0.24 and 0.13; a sentence of 12 words
 * in a chunk of 60 gives 0.57. So the floor lets pass what resembles a good part of the text; a
 * lone near form in a long text stays below it.
 */
export const SIMILARITY_FLOOR = 0.35

const WORD = 1
const LETTERS = 1
const WORD_PAIR = 0.3
/**
 * With one place each, a lone word is mostly one dimension and meets whatever else fell there:
 * noise up to 0.46.
 */
const PLACES = 4
/**
 * Words of this many letters or more weigh fully; shorter ones are mostly "the", "und", "de", which
 * say little.
 */
const FULL_WEIGHT_LETTERS = 6

const TOKEN = /[\p{L}\p{N}\p{M}]+(?:['’][\p{L}\p{M}]+)*/gu
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

/**
 * A text as a unit vector of 384 dimensions by which words it holds; no model, no download, the
 * same on every machine.
 *
 * Text is folded first: NFKD, marks above and below letters dropped, lower case. Features are each
 * word (weight 1), each pair of neighbouring words (0.3), and each word's letter groups (together 1
 * a word), which bring near forms close: `harbour`, `harbours`. Groups have 3 and 4 letters, of the
 * word between boundary marks; or 1 and 2 in scripts written without spaces. Words under six
 * letters weigh length/6. A word or pair that comes n times counts 1 + ln n.
 *
 * Every feature is hashed (FNV-1a with the final mix of MurmurHash3) to four of dimensions 1 to
 * 383, each with its own sign: feature hashing, Weinberger et al., "Feature Hashing for Large Scale
 * Multitask Learning", ICML 2009, with the several places that it proposes against collisions
 * ("multiple hashing"). The sum is scaled to length 1.
 *
 * Dimension 0 is kept for texts without any letter or digit: all of them get (1, 0, 0, …), whose
 * cosine with every other text is 0. A vector of zeros has no cosine.
 *
 * @example
 * cosine(embedLexical('the green harbour'), embedLexical('Harbours are green'))   // 0.58
 */
export function embedLexical(text: string): Float32Array {
  const vector = new Float32Array(LEXICAL_DIMENSIONS)
  const words = fold(text).match(TOKEN) ?? []
  for (const [word, times] of tally(words))
    addWord(vector, word, shareOf(word) * (1 + Math.log(times)))
  const pairs = words.slice(1).map((word, i) => `${words[i]} ${word}`)
  for (const [pair, times] of tally(pairs)) {
    const second = pair.slice(pair.indexOf(' ') + 1)
    addFeature(
      vector,
      hashOf(pair, 0, pair.length),
      WORD_PAIR * shareOf(second) * (1 + Math.log(times)),
    )
  }
  return normalised(vector)
}

/**
 * How alike two unit vectors are: 1 the same, around 0 unrelated.
 *
 * @example
 * cosine(embedLexical('a green door'), embedLexical('the green doors')) > SIMILARITY_FLOOR
 */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}

/** Lower case, without the marks on letters: `Çeşme` and `cesme` are the same word. */
function fold(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/\p{Mn}+/gu, '')
    .toLowerCase()
    .replaceAll('’', "'")
}

function tally(items: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1)
  return counts
}

function shareOf(word: string): number {
  return UNSPACED.test(word) ? 1 : Math.min(1, word.length / FULL_WEIGHT_LETTERS)
}

function addWord(vector: Float32Array, word: string, weight: number): void {
  const unspaced = UNSPACED.test(word)
  const marked = unspaced ? word : `<${word}>`
  addFeature(vector, hashOf(` ${word}`, 0, word.length + 1), WORD * weight)
  const sizes = unspaced ? [1, 2] : [3, 4]
  const groups = sizes.reduce((sum, size) => sum + Math.max(0, marked.length - size + 1), 0)
  for (const size of sizes) {
    for (let at = 0; at + size <= marked.length; at++) {
      addFeature(vector, hashOf(marked, at, at + size), (LETTERS * weight) / Math.sqrt(groups))
    }
  }
}

/** Spreads one feature over PLACES dimensions. */
function addFeature(vector: Float32Array, hash: number, value: number): void {
  let state = hash
  for (let i = 0; i < PLACES; i++) {
    const at = 1 + ((state >>> 1) % (LEXICAL_DIMENSIONS - 1))
    vector[at] = (vector[at] ?? 0) + ((state & 1) === 0 ? value : -value)
    state = mix(state + 0x9e3779b9)
  }
}

/**
 * 32-bit FNV-1a over UTF-16 units, mixed once more: FNV alone spreads its low bits badly on short
 * keys.
 */
function hashOf(text: string, from: number, to: number): number {
  let hash = 0x811c9dc5
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mix(hash)
}

function mix(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function normalised(vector: Float32Array): Float32Array {
  const length = Math.sqrt(cosine(vector, vector))
  // All features may cancel out in theory; then too the text has no direction of its own.
  if (length < 1e-9) vector[0] = 1
  else for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] ?? 0) / length
  return vector
}
