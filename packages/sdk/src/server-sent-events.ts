/** One event of a stream; comments and fields that Earshot does not send are passed over. */
export type ServerSentEvent = { id?: string; data: string }

/** More than any event of Earshot's: a stream without line ends must not fill the memory. */
const LONGEST = 16 * 2 ** 20

/**
 * Reads `text/event-stream` piece by piece, however it is cut
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html). It stands here so that
 * installing the SDK brings zod alone.
 *
 * @returns a function that takes the next piece and returns the events that it completes
 * @throws RangeError when a line or an event is longer than 16 MiB of characters
 * @example
 * const feed = createEventReader()
 * feed('id: 7\ndata: {"type"')        // []
 * feed(':"job.completed"}\n\n')       // [{ id: '7', data: '{"type":"job.completed"}' }]
 */
export function createEventReader(): (piece: string) => ServerSentEvent[] {
  let rest = ''
  let id: string | undefined
  let data: string[] = []
  let size = 0
  return (piece) => {
    const events: ServerSentEvent[] = []
    // A line may end with \r\n, and the piece between the two.
    const whole = rest + piece
    const lines = whole.endsWith('\r') ? [whole] : whole.split(/\r\n|\n|\r/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0)
          events.push({ ...(id === undefined ? {} : { id }), data: data.join('\n') })
        data = []
        size = 0
        continue
      }
      const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
      if (field === 'id' && !value.includes('\0')) id = value
      if (field === 'data') {
        data.push(value)
        size += value.length
      }
    }
    if (rest.length + size > LONGEST) throw new RangeError('An event of the stream is too long.')
    return events
  }
}
