import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createEventReader } from '../src/server-sent-events.ts'

test('a stream without an end of line is refused and does not fill the memory', () => {
  const feed = createEventReader()
  const piece = 'x'.repeat(2 ** 20)
  expect(() => {
    for (let i = 0; i < 20; i++) feed(piece)
  }).toThrow(RangeError)
})

test('comments, unknown fields and events without data are passed over', () => {
  expect(createEventReader()(': hello\n\nevent: x\nretry: 5\n\nid: 1\n\ndata:y\n\n')).toEqual([
    { id: '1', data: 'y' },
  ])
})

test('events are the same however the stream is cut and its lines end', () => {
  const event = fc.record({
    id: fc.option(fc.stringMatching(/^[0-9-]{1,8}$/), { nil: undefined }),
    data: fc.array(fc.stringMatching(/^[ -~äöü€]{0,12}$/), { minLength: 1, maxLength: 3 }),
  })
  const end = fc.constantFrom('\n', '\r\n', '\r')
  fc.assert(
    fc.property(fc.array(event), end, fc.array(fc.nat(40)), (events, eol, cuts) => {
      const text = events
        .map(({ id, data }) =>
          [
            ...(id === undefined ? [] : [`id: ${id}`]),
            ...data.map((line) => `data: ${line}`),
            '',
            '',
          ].join(eol),
        )
        .join('')
      const feed = createEventReader()
      const seen = []
      let from = 0
      for (const cut of [...cuts, text.length + 1]) {
        seen.push(...feed(text.slice(from, from + cut)))
        from += cut
      }
      // The last line end may be the first half of \r\n: the next byte tells.
      seen.push(...feed(':\n'))
      let last: string | undefined
      const expected = events.map(({ id, data }) => {
        last = id ?? last
        return { ...(last === undefined ? {} : { id: last }), data: data.join('\n') }
      })
      expect(seen).toEqual(expected)
    }),
  )
})
