import { expect, test } from 'vitest'
import { createLazyAbortController } from '../src/lazy-abort-controller.ts'

test('the signal fires whether it was asked for before or after, with the first reason', () => {
  const early = createLazyAbortController()
  const fired: unknown[] = []
  early.signal.addEventListener('abort', () => fired.push(early.signal.reason))
  expect([early.aborted, early.reason, early.signal.aborted]).toEqual([false, undefined, false])
  early.abort('lost')
  early.abort('stopping')
  expect(fired).toEqual(['lost'])
  const late = createLazyAbortController()
  late.abort('lost')
  late.abort('stopping')
  expect([late.aborted, late.reason, late.signal.aborted, late.signal.reason]).toEqual([
    true,
    'lost',
    true,
    'lost',
  ])
  expect(late.signal).toBe(late.signal)
})
