import type { LoneNode } from '@earshot/db/functions/leadership'
import { expect, test } from 'vitest'
import { chooseIsolationNode } from '../src/routing/isolate.ts'

const node = (id: string, more: Partial<LoneNode> = {}): LoneNode => ({
  id,
  incarnation: 1,
  roles: ['tts'],
  tags: {},
  open: 0,
  reserved_for: null,
  ...more,
})
const JOB = { id: 7, role: 'tts', requires: {}, died_on: ['n1'] }

test('an isolated job goes to a node that did not die of it, even to a busier one', () => {
  expect(chooseIsolationNode([node('n1'), node('n2', { open: 3 })], JOB)?.id).toBe('n2')
})
test('an isolated job goes to the node that died of it where no other one can run it', () => {
  const nodes = [node('n1'), node('n2', { roles: ['stt_batch'] }), node('n3', { reserved_for: 8 })]
  expect(chooseIsolationNode(nodes, JOB)?.id).toBe('n1')
})
test('an isolated job keeps the node that is reserved for it', () => {
  expect(chooseIsolationNode([node('n1', { reserved_for: 7 }), node('n2')], JOB)?.id).toBe('n1')
})
