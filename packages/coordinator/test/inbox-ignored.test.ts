import { expect, test } from 'vitest'
import { isIgnored } from '../src/inbox/ignored.ts'

test.each([
  'talk.mp3.!qB',
  'talk.mp3.opdownload',
  'talk.mp3.aria2',
  'notes.lock',
  'x.txt.~4ef5a1.txt',
  'x.txt.~4ef5a1',
  '#snapshot/talk.mp3',
  'talks/@Recently-Snapshot/GMT+01/talk.mp3',
])('%s is passed over', (path) => {
  expect(isIgnored(path)).toBe(true)
})

test.each(['padlock.mp3', 'lock/talk.mp3', 'snapshot/talk.mp3', 'a.~notes.txt', 'aria2.txt'])(
  '%s is taken in',
  (path) => {
    expect(isIgnored(path)).toBe(false)
  },
)
