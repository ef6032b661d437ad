import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLease } from '../src/lease.ts'

const LEASE_MS = 3000
/** The database's clock is this far ahead of the node's. */
const AHEAD_MS = 987_654

test('what counts as fresh was given less than a second ago, under a lease that the database has kept since', () => {
  // A beat: sent now, in the database `there` ms later, answered `back` ms after that; or none for
  // a while.
  const beats = fc.array(
    fc.record({
      pause: fc.integer({ min: 0, max: 5000 }),
      there: fc.integer({ min: 0, max: 1500 }),
      back: fc.integer({ min: 0, max: 1500 }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  fc.assert(
    fc.property(
      beats,
      fc.integer({ min: 0, max: 2500 }),
      fc.integer({ min: 0, max: 4000 }),
      (all, ago, later) => {
        let now = 0
        const lease = createLease(
          LEASE_MS,
          0,
          () => now,
          () => now,
        )
        // When the database's lease ran, by the node's clock.
        let heldFrom = 0
        let heldTo = LEASE_MS
        for (const { pause, there, back } of all) {
          const askedAt = (now += pause)
          const renewedAt = (now += there)
          if (renewedAt > heldTo) heldFrom = renewedAt
          heldTo = renewedAt + LEASE_MS
          now += back
          lease.renewed({ now: (renewedAt + AHEAD_MS) / 1000, askedAt, askedOn: askedAt })
        }
        now += later
        const givenAt = now - ago
        if (!lease.isFresh((givenAt + AHEAD_MS) / 1000)) return
        expect(ago).toBeLessThan(1000)
        expect(givenAt).toBeGreaterThanOrEqual(heldFrom)
        expect(now).toBeLessThan(heldTo)
      },
    ),
    { numRuns: 2000 },
  )
})

test('what was given a moment ago is fresh once a heartbeat was answered, and not before', () => {
  let now = 0
  const lease = createLease(
    LEASE_MS,
    0,
    () => now,
    () => now,
  )
  now = 10
  expect(lease.isFresh(0.01)).toBe(false)
  lease.renewed({ now: 0.01, askedAt: 10, askedOn: 10 })
  now = 900
  expect(lease.isFresh(0.2)).toBe(true)
  expect(lease.until()).toBe(10 + LEASE_MS)
})

test('nothing is fresh after the machine slept, since only its time of day tells that it did', () => {
  let wall = 0
  const lease = createLease(
    LEASE_MS,
    0,
    () => 100,
    () => wall,
  )
  lease.renewed({ now: 0.1, askedAt: 100, askedOn: 0 })
  expect(lease.isFresh(0.1)).toBe(true)
  wall = 3_600_000
  expect(lease.isFresh(0.1)).toBe(false)
  // It slept between the question and its answer.
  lease.renewed({ now: 0.1, askedAt: 100, askedOn: 3_500_000 })
  expect(lease.isFresh(0.1)).toBe(false)
})

describe("when the database's clock is set", () => {
  let now = 0
  const beat = (database: number) => {
    const lease = createLease(
      15_000,
      0,
      () => now,
      () => now,
    )
    lease.renewed({ now: database, askedAt: now, askedOn: now })
    return lease
  }

  test('ahead, nothing that was given since is fresh until a heartbeat brings the new time', () => {
    now = 0
    const lease = beat(0)
    now = 2500
    expect(lease.isFresh(3600.5)).toBe(false)
    lease.renewed({ now: 3602.5, askedAt: now, askedOn: now })
    expect(lease.isFresh(3602.4)).toBe(true)
    expect(lease.isFresh(3600.5)).toBe(false)
  })

  test('back, what was given before is not fresh', () => {
    now = 0
    const lease = beat(3600)
    now = 2000
    lease.renewed({ now: 2, askedAt: now, askedOn: now })
    expect(lease.isFresh(3600.1)).toBe(false)
  })

  test('a little ahead while heartbeats are not answered, what came late is not fresh', () => {
    now = 0
    const lease = beat(0)
    // Given a moment after the heartbeat, by a clock that was set 4 s ahead; 4 s on its way.
    now = 4100
    expect(lease.isFresh(4.1)).toBe(false)
  })
})
