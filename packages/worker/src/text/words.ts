// A unit is a word between blanks; scripts that put none between words count each sign.
const UNIT =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]|[^\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]+/gu

/**
 * How many words a text has; in scripts written without blanks between words, how many signs.
 *
 * @example
 * countWords('a green door') // 3
 */
export function countWords(text: string): number {
  let count = 0
  for (const _ of text.matchAll(UNIT)) count += 1
  return count
}

/**
 * Cuts a text into parts of about equal length with at most `most` words each, between words; no
 * character but blanks is lost.
 *
 * @example
 * cutWords('one two three', 2) // ['one two', 'three']
 */
export function cutWords(text: string, most: number): string[] {
  const starts = Array.from(text.matchAll(UNIT), (match) => match.index)
  const parts = Math.ceil(starts.length / most)
  return Array.from({ length: parts }, (_, part) => {
    const from = starts[Math.floor((part * starts.length) / parts)]
    const to = starts[Math.floor(((part + 1) * starts.length) / parts)]
    return text.slice(from, to).trim()
  })
}
