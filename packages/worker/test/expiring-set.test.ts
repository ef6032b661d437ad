import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createExpiringSet } from '../src/expiring-set.ts'

const MS = 100

test('what was added is known for as long as asked, and forgotten before three times that', () => {
  const steps = fc.array(
    fc.record({ wait: fc.integer({ min: 0, max: 150 }), one: fc.integer({ min: 0, max: 5 }) }),
    { maxLength: 40 },
  )
  fc.assert(
    fc.property(steps, (all) => {
      let now = 0
      const recent = createExpiringSet<number>(MS, () => now)
      const added = new Map<number, number>()
      for (const { wait, one } of all) {
        now += wait
        recent.add(one)
        added.set(one, now)
        for (const [which, at] of added) {
          if (now - at < MS) expect(recent.has(which)).toBe(true)
          if (now - at >= 3 * MS) expect(recent.has(which)).toBe(false)
        }
      }
    }),
  )
})

test('while some work runs, nothing is forgotten', async () => {
  let now = 0
  const recent = createExpiringSet<string>(MS, () => now)
  await recent.during(async () => {
    recent.add('a')
    now += 100 * MS
    recent.add('b')
    now += 100 * MS
    recent.add('c')
    expect(recent.has('a')).toBe(true)
  })
  now += MS - 1
  recent.add('d')
  expect([recent.has('a'), recent.has('c')]).toEqual([true, true])
  now += 3 * MS
  recent.add('e')
  expect([recent.has('a'), recent.has('c')]).toEqual([false, false])
})

test.each(['while it runs', 'between'])(
  'work that runs again and again does not keep it from forgetting what is added %s',
  async (when) => {
    let now = 0
    const recent = createExpiringSet<number>(MS, () => now)
    for (let one = 0; one < 100; one += 1) {
      await recent.during(async () => {
        now += MS / 4
        if (when === 'while it runs') recent.add(one)
      })
      if (when === 'between') recent.add(one)
    }
    expect(recent.has(98)).toBe(true)
    expect(Array.from({ length: 80 }, (_, one) => one).filter(recent.has)).toEqual([])
  },
)
