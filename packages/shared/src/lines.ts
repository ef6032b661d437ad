import { EarshotError } from '@earshot/contract'

/** Far more than a token, a segment, or all of an answer at the end. */
const LONGEST = 16 * 2 ** 20

/**
 * The lines of a body as they come, however it is cut into pieces, without their ends. Each piece
 * is looked through once, however long a line gets, and a line that never ends fills no memory.
 *
 * @param options.longest characters of a line
 * @throws EarshotError EARSHOT_TOO_LARGE; what the body throws
 * @example
 * for await (const line of linesOf(response.body)) take(JSON.parse(line))
 */
export async function* linesOf(
  body: AsyncIterable<Uint8Array>,
  { longest = LONGEST }: { longest?: number } = {},
): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  /** What a line has so far. */
  let begun: string[] = []
  let length = 0
  const whole = (end: string): string => {
    const line = begun.length === 0 ? end : begun.join('') + end
    begun = []
    length = 0
    return line.endsWith('\r') ? line.slice(0, -1) : line
  }
  for await (const piece of body) {
    const text = decoder.decode(piece, { stream: true })
    let from = 0
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
      if (length + at - from > longest) throw tooLong(longest)
      yield whole(text.slice(from, at))
      from = at + 1
    }
    const rest = text.slice(from)
    length += rest.length
    if (length > longest) throw tooLong(longest)
    if (rest !== '') begun.push(rest)
  }
  const last = whole(decoder.decode())
  if (last !== '') yield last
}

const tooLong = (longest: number): EarshotError =>
  new EarshotError('EARSHOT_TOO_LARGE', `A line is longer than ${longest} characters.`)
