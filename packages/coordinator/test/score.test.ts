import type { FreeNode } from '@earshot/db/functions/leadership'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Fitting,
  occupy,
  queueDepth,
  maxCapacity,
  capacityFor,
} from '../src/routing/capacity.ts'
import { chooseNode, score } from '../src/routing/score.ts'

const job: Fitting = { role: 'tts', kind: 'count', class: 'batch', whole: false }
const speed = fc.option(fc.double({ min: 0.01, max: 1000, noNaN: true }), { nil: undefined })
const chance = fc.record({
  freeShare: fc.double({ min: 0.01, max: 1, noNaN: true }),
  speed,
  warm: fc.boolean(),
  near: fc.boolean(),
})

const node = fc
  .record({
    slots: fc.integer({ min: 1, max: 8 }),
    total: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
    speed,
    warm: fc.boolean(),
  })
  .map(({ slots, total, speed: pace, warm }): Omit<FreeNode, 'id'> => {
    const load = (of: number) => ({ slots: of, open: 0, running: 0, interactive: 0, whole: 0 })
    return {
      incarnation: 1,
      roles: ['tts'],
      tags: {},
      warm: warm ? ['count'] : [],
      shares: [],
      speeds: pace === undefined ? {} : { count: pace },
      free: {
        tts: Math.min(slots, total ?? slots),
        ...(total === undefined ? {} : { '*': total }),
      },
      load: { tts: load(slots), ...(total === undefined ? {} : { '*': load(total) }) },
    }
  })
const nodes = fc
  .array(node, { minLength: 1, maxLength: 6 })
  .map((all) => all.map((one, at): FreeNode => ({ ...structuredClone(one), id: `n${at}` })))

describe('the weight of a slot', () => {
  test('grows with everything that speaks for it', () => {
    fc.assert(
      fc.property(chance, fc.double({ min: 0, max: 1000, noNaN: true }), (one, faster) => {
        const fastest = Math.max(one.speed ?? 0, faster)
        const weight = score(one, fastest)
        expect(weight).toBeGreaterThan(0)
        expect(weight).toBeLessThanOrEqual(1)
        expect(score({ ...one, warm: true }, fastest)).toBeGreaterThanOrEqual(weight)
        expect(score({ ...one, near: true }, fastest)).toBeGreaterThanOrEqual(weight)
        expect(score({ ...one, freeShare: 1 }, fastest)).toBeGreaterThanOrEqual(weight)
        expect(score({ ...one, speed: fastest || undefined }, fastest)).toBeGreaterThanOrEqual(
          weight,
        )
      }),
    )
  })
})

describe('choosing nodes', () => {
  test('fills every free slot before anything is queued, and gives no node more than it said', () => {
    fc.assert(
      fc.property(nodes, (all) => {
        const slots = all.reduce((sum, one) => sum + one.free.tts!, 0)
        const most = all.reduce((sum, one) => sum + maxCapacity(one, 'tts', 'batch'), 0)
        const allowed = new Map(all.map((one) => [one.id, maxCapacity(one, 'tts', 'batch')]))
        let given = 0
        for (;;) {
          const chosen = chooseNode(all, job, null, () => false)
          if (chosen === undefined) break
          expect(capacityFor(chosen, job, false)).toBe(given < slots ? 'slot' : 'queue')
          occupy(chosen, job)
          given += 1
          allowed.set(chosen.id, allowed.get(chosen.id)! - 1)
          expect(given).toBeLessThanOrEqual(most)
        }
        expect(given).toBeGreaterThanOrEqual(slots)
        expect([...allowed.values()].every((left) => left >= 0)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  test('takes the fastest of otherwise equal nodes', () => {
    fc.assert(
      fc.property(nodes, (all) => {
        const equal = all.map((one, at) => ({
          ...one,
          warm: [],
          free: { tts: 1 },
          load: { tts: { slots: 1, open: 0, running: 0, interactive: 0, whole: 0 } },
          speeds: { count: 1 + at },
        }))
        expect(chooseNode(equal, job, null, () => false)?.id).toBe(equal.at(-1)!.id)
      }),
    )
  })

  test('queues no more than a fifth of a second of work a slot, at most 64, and nothing that cannot be cut', () => {
    expect([undefined, 1, 4.9, 5, 100, 1e6].map(queueDepth)).toEqual([0, 0, 0, 1, 20, 64])
    fc.assert(
      fc.property(nodes, (all) => {
        for (const one of all) {
          one.free = { ...one.free, tts: 0 }
          expect(capacityFor(one, { ...job, whole: true }, false)).toBeNull()
          expect(capacityFor(one, job, true)).toBeNull()
        }
      }),
    )
  })
})
