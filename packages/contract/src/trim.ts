/**
 * A text without any of these characters at its end. A pattern such as `/\/+$/` takes quadratic
 * time on a text of slashes that ends otherwise.
 *
 * @example
 * trimEndOf('http://box:7700//', '/')   // 'http://box:7700'
 */
export function trimEndOf(text: string, characters: string): string {
  let end = text.length
  while (end > 0 && characters.includes(text[end - 1]!)) end -= 1
  return text.slice(0, end)
}
