import { EarshotError } from '@earshot/contract'
import { expect, test } from 'vitest'
import { judge } from '../src/verdict.ts'

test('a box whose clock is off is charged itself: its jobs keep their tries for boxes that can fetch their media', () => {
  expect(judge(new EarshotError('EARSHOT_BAD_SIGNATURE', 'The signature is wrong.'))).toMatchObject(
    { outcome: { error: { verdict: 'node' } } },
  )
})
