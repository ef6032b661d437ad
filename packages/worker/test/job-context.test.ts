import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Assignment } from '@earshot/db/functions/jobs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createJobContext } from '../src/job-context.ts'

let place: string
beforeAll(async () => {
  place = await mkdtemp(path.join(tmpdir(), 'earshot-context-'))
})
afterAll(async () => {
  await rm(place, { recursive: true })
})
const job = { id: 7, payload: {} } as unknown as Assignment
const contextOf = (folder: string, ...signals: AbortSignal[]) =>
  createJobContext({
    job,
    progress: () => {},
    emit: () => {},
    signals: () => signals,
    folder: () => path.join(place, folder),
  })

test('a handler that asks for no folder gets none, and there is nothing to remove', () => {
  const { context, remove } = contextOf('none')
  expect(context.job.id).toBe(7)
  expect(remove()).toBeUndefined()
  expect(existsSync(path.join(place, 'none'))).toBe(false)
})

test('one that asks gets its folder, always the same, until the job has ended', async () => {
  const { context, remove } = contextOf('one')
  const { dir } = context
  expect([context.dir, existsSync(dir)]).toEqual([dir, true])
  await remove()
  expect(existsSync(dir)).toBe(false)
})

test('its signal fires with whichever fires first, also when that was before anybody asked', () => {
  const [lost, silent] = [new AbortController(), new AbortController()]
  const { signal } = contextOf('two', lost.signal, silent.signal).context
  expect(signal.aborted).toBe(false)
  silent.abort('silent')
  expect([signal.aborted, signal.reason]).toEqual([true, 'silent'])
  expect(contextOf('three', lost.signal, silent.signal).context.signal.aborted).toBe(true)
})
