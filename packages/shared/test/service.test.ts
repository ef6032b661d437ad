import { composeServices, type Service } from '@earshot/shared/service'
import { expect, test } from 'vitest'

function recording(
  name: string,
  said: string[],
  failing: { start?: boolean; stop?: boolean } = {},
): Service {
  const step = async (what: 'start' | 'stop') => {
    said.push(`${what} ${name}`)
    if (failing[what]) throw new Error(`${name} cannot ${what}`)
  }
  return { start: () => step('start'), stop: () => step('stop') }
}

test('one that cannot start is stopped with those before it, in reverse, and its error is thrown', async () => {
  const said: string[] = []
  const all = composeServices([
    recording('a', said),
    recording('b', said, { start: true }),
    recording('c', said),
  ])
  await expect(all.start()).rejects.toThrow('b cannot start')
  expect(said).toEqual(['start a', 'start b', 'stop b', 'stop a'])
})

test('one that cannot stop does not keep the others running; every error is told', async () => {
  const said: string[] = []
  const all = composeServices([
    recording('a', said, { stop: true }),
    recording('b', said),
    recording('c', said, { stop: true }),
  ])
  await all.start()
  const error = await all.stop().catch((reason: unknown) => reason)
  expect(said.slice(3)).toEqual(['stop c', 'stop b', 'stop a'])
  expect((error as AggregateError).errors.map(String)).toEqual([
    'Error: c cannot stop',
    'Error: a cannot stop',
  ])
})

test('stopping twice stops once', async () => {
  const said: string[] = []
  const all = composeServices([recording('a', said)])
  await all.start()
  await Promise.all([all.stop(), all.stop()])
  expect(said).toEqual(['start a', 'stop a'])
})

test('the first to end by itself ends the whole, with its reason', async () => {
  const idle = { start: async () => {}, stop: async () => {} }
  const all = composeServices([
    { ...idle, ended: new Promise(() => {}) },
    { ...idle, ended: Promise.resolve('replaced') },
  ])
  expect(await all.ended).toBe('replaced')
})
