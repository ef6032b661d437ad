import { EarshotError, defineKind, z } from '@earshot/contract'
import type { Assignment } from '@earshot/db/functions/jobs'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { builtIn, handle } from '../src/handle.ts'
import type { Handler } from '../src/execute-job.ts'
import { judge } from '../src/verdict.ts'

const size = defineKind({
  kind: 'size',
  role: 'text_tools',
  payload: z.object({ text: z.string(), unit: z.enum(['letters', 'words']).default('letters') }),
  result: z.object({ size: z.number(), more: z.unknown() }),
})
const context = {
  signal: new AbortController().signal,
  dir: '/nowhere',
  progress: () => {},
  emit: () => {},
}
const jobOf = (payload: Record<string, unknown>) => ({ id: 7, payload }) as unknown as Assignment
const run = (handler: Handler, payload: Record<string, unknown>) =>
  handler({ ...context, job: jobOf(payload) })
const outcomeOf = async (handler: Handler, payload: Record<string, unknown>) => {
  const err = await run(handler, payload).catch((thrown: unknown) => thrown)
  const judged = judge(err)
  return 'outcome' in judged ? judged.outcome : judged
}

describe("a handler of a kind of one's own", () => {
  test.each<[string, Handler, Record<string, unknown>, object]>([
    [
      'a payload that does not fit ends the job, naming the field',
      handle(size, () => ({ size: 1, more: null })).handler,
      { text: 3 },
      {
        code: 'EARSHOT_BAD_REQUEST',
        verdict: 'final',
        message: expect.stringMatching(/^"payload\.text" is wrong: .+/),
      },
    ],
    [
      'a result that does not fit too',
      handle(size, () => ({ size: 'big' }) as never).handler,
      { text: 'x' },
      {
        code: 'EARSHOT_RESULT_REFUSED',
        verdict: 'final',
        message: expect.stringMatching(/^"result\.size" is wrong: .+/),
      },
    ],
    [
      'a result that JSON cannot carry too',
      handle(size, () => ({ size: 1, more: 1n })).handler,
      { text: 'x' },
      {
        code: 'EARSHOT_RESULT_REFUSED',
        verdict: 'final',
        message: expect.stringContaining('cannot be written as JSON'),
      },
    ],
    [
      'what it throws is charged to the job',
      handle(size, () => {
        throw new Error('no scales')
      }).handler,
      { text: 'x' },
      {
        code: 'EARSHOT_HANDLER_FAILED',
        verdict: 'job',
        message: 'The handler of kind "size" failed: no scales',
      },
    ],
    [
      'unless it says otherwise',
      handle(size, () => {
        throw new EarshotError('EARSHOT_ENGINE_MISSING', 'There are no scales here.')
      }).handler,
      { text: 'x' },
      { code: 'EARSHOT_ENGINE_MISSING', verdict: 'node' },
    ],
    [
      'or the disk is full',
      handle(size, () => {
        throw Object.assign(new Error('write'), { code: 'ENOSPC' })
      }).handler,
      { text: 'x' },
      { code: 'EARSHOT_DISK_FULL', verdict: 'node' },
    ],
  ])('%s', async (_, handler, payload, error) => {
    expect(await outcomeOf(handler, payload)).toMatchObject({ error })
  })

  test('gets the payload as its schema reads it, and its job; unknown fields of a newer program do no harm', async () => {
    const { handler } = handle(size, ({ text, unit }, { job }) => ({
      size: text.length,
      more: { unit, job: job.id },
    }))
    expect(await run(handler, { text: 'four', later: true })).toEqual({
      size: 4,
      more: { unit: 'letters', job: 7 },
    })
    expectTypeOf(handle<typeof size>)
      .parameter(1)
      .parameter(0)
      .toEqualTypeOf<{ text: string; unit: 'letters' | 'words' }>()
  })
})

test('the output of a built-in kind is checked by the same rule', async () => {
  const speech = builtIn('speak', async () => ({ media: 'not a hash', duration_s: 1, engine: 'x' }))
  expect(await outcomeOf(speech, { text: 'x' })).toMatchObject({
    error: {
      code: 'EARSHOT_RESULT_REFUSED',
      verdict: 'final',
      message: expect.stringContaining('"result.media" is wrong'),
    },
  })
})
