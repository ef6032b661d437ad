import type { Assignment } from '@earshot/db/functions/jobs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLocalQueue } from '../src/local-queue.ts'

const job = (id: number, more: Partial<Assignment> = {}): Assignment => ({
  id,
  attempt: 1,
  fence: String(id),
  kind: 'count',
  role: 'tts',
  requires: {},
  payload: {},
  tenant_id: 'default',
  document_id: null,
  deadline: null,
  class: 'batch',
  priority: 0,
  silence_s: 600,
  ...more,
})
const jobs = fc
  .uniqueArray(
    fc.record({
      id: fc.integer({ min: 1, max: 1000 }),
      role: fc.constantFrom('tts', 'stt'),
      class: fc.constantFrom('interactive' as const, 'batch' as const),
      priority: fc.integer({ min: -2, max: 2 }),
    }),
    { selector: ({ id }) => id, maxLength: 30 },
  )
  .map((all) => all.map((one) => job(one.id, one)))
const slots = fc.record({
  tts: fc.integer({ min: 1, max: 4 }),
  stt: fc.integer({ min: 1, max: 4 }),
  '*': fc.integer({ min: 1, max: 6 }),
})
const first = (a: Assignment, b: Assignment) =>
  Number(a.class === 'batch') - Number(b.class === 'batch') ||
  b.priority - a.priority ||
  a.id - b.id

describe('what a node has in hand', () => {
  test('starts interactive jobs first, then by priority, then the oldest, whenever they came', () => {
    fc.assert(
      fc.property(jobs, jobs, (some, more) => {
        const all = [...some, ...more.filter((one) => !some.some(({ id }) => id === one.id))]
        const queue = createLocalQueue({ tts: 100, stt: 100 })
        queue.add(some, 0)
        queue.add(all.slice(some.length), 0)
        const order = []
        for (let held = queue.next(); held !== undefined; held = queue.next()) order.push(held.job)
        expect(order).toEqual(all.toSorted(first))
      }),
    )
  })

  test('runs no more at once than there are slots, of a role and in all, and leaves no slot empty that something waits for', () => {
    fc.assert(
      fc.property(jobs, slots, fc.infiniteStream(fc.nat()), (all, of, picks) => {
        const queue = createLocalQueue(of)
        queue.add(all, 0)
        let done = 0
        while (done < all.length) {
          while (queue.next() !== undefined);
          const running = queue.started()
          const count = (role: string) => running.filter((held) => held.job.role === role).length
          expect(running.length).toBeLessThanOrEqual(of['*'])
          for (const role of ['tts', 'stt'] as const) {
            expect(count(role)).toBeLessThanOrEqual(of[role])
            const waiting =
              queue.ids().length > running.length &&
              all.some(
                (one) =>
                  one.role === role &&
                  queue.has(one.id, one.fence) &&
                  !running.some((held) => held.job === one),
              )
            if (waiting) expect(count(role) === of[role] || running.length === of['*']).toBe(true)
          }
          queue.remove(running[picks.next().value! % running.length]!)
          done += 1
        }
        expect(queue.ids()).toEqual([])
      }),
    )
  })

  test('hands back only what was not started, and starts none of it meanwhile', () => {
    const queue = createLocalQueue({ tts: 1 })
    queue.add([job(1), job(2), job(3)], 0)
    const running = queue.next()!
    expect(queue.leave().map(({ id }) => id)).toEqual([2, 3])
    queue.remove(running)
    expect(queue.next()).toBeUndefined()
    queue.stay()
    expect(queue.next()!.job.id).toBe(2)
    queue.leave()
    queue.drop(({ state }) => state === 'leaving')
    expect(queue.ids()).toEqual([2])
  })

  test('a job whose result is on its way leaves its slot to the next, and is in hand all the same', () => {
    const queue = createLocalQueue({ tts: 1 })
    queue.add([job(1), job(2), job(3)], 0)
    const running = queue.next()!
    queue.report(running)
    expect(queue.next()!.job.id).toBe(2)
    expect(queue.next()).toBeUndefined()
    queue.remove(running)
    expect(queue.next()).toBeUndefined()
    expect(queue.ids()).toEqual([2, 3])
  })

  test('counts a lost job as busy until it is removed, and keeps its slot', () => {
    const queue = createLocalQueue({ tts: 1 })
    queue.add([job(1), job(2)], 0)
    const lost = queue.next()!
    lost.abort.abort('lost')
    expect(queue.busy()).toEqual({ tts: 1 })
    expect(queue.next()).toBeUndefined()
    queue.remove(lost)
    expect(queue.busy()).toEqual({})
    expect(queue.next()!.job.id).toBe(2)
  })

  test('a handler that hangs keeps its slot and not its job, which may come again', () => {
    const queue = createLocalQueue({ tts: 1 })
    queue.add([job(1)], 0)
    const hanging = queue.next()!
    queue.disown(hanging)
    queue.remove(hanging)
    queue.add([job(1, { attempt: 2, fence: '1 again' })], 0)
    expect(queue.busy()).toEqual({ tts: 1 })
    expect(queue.next()).toBeUndefined()
    queue.release(hanging)
    expect(queue.busy()).toEqual({})
    expect(queue.next()!.job.attempt).toBe(2)
  })

  test('an assignment is taken up once, however often and by whichever way it is told of; the next one of the same job is another', async () => {
    const queue = createLocalQueue({ tts: 1 })
    queue.add([job(1)], 0)
    queue.add([job(1)], 1)
    const held = queue.next()!
    expect(queue.next()).toBeUndefined()
    held.settled = true
    // The database was asked before the job ended, and answers afterwards.
    await queue.during(async () => {
      queue.remove(held)
      queue.add([job(1)], 2)
    })
    expect(queue.ids()).toEqual([])
    queue.add([job(1, { attempt: 2, fence: 'another' })], 3)
    expect(queue.next()!.job.attempt).toBe(2)
  })

  test('what was dropped without a word to the database is taken up again when that says so', () => {
    const queue = createLocalQueue({ tts: 1 })
    queue.add([job(1)], 0)
    queue.drop(() => true)
    queue.add([job(1)], 1)
    expect(queue.next()!.job.id).toBe(1)
  })

  test('what was handed back is not taken up by a message that comes late; what could not be handed back waits on', () => {
    const queue = createLocalQueue({ tts: 1 })
    queue.add([job(1), job(2)], 0)
    queue.next()
    expect(queue.leave().map(({ id }) => id)).toEqual([2])
    queue.stay()
    queue.leave()
    queue.left()
    queue.add([job(2)], 1)
    expect(queue.ids()).toEqual([1])
  })

  test('what is given again while it is being handed back is told from what is in hand already, so that it is asked for once it went back', () => {
    const queue = createLocalQueue({ tts: 1 })
    const again = job(1, { attempt: 2, fence: 'another' })
    expect(queue.add([job(1)], 0)).toBe(true)
    expect(queue.add([job(1)], 1)).toBe(true)
    queue.leave()
    expect(queue.add([again, job(2)], 2)).toBe(false)
    queue.left()
    expect(queue.add([again], 3)).toBe(true)
    expect(queue.ids()).toEqual([2, 1])
  })

  test('a job that is given again while its old handler still runs starts in a free slot, or waits where it can be recalled', () => {
    const queue = createLocalQueue({ tts: 2 })
    const again = (attempt: number) => job(1, { attempt, fence: `again ${attempt}` })
    queue.add([job(1)], 0)
    const old = queue.next()!
    old.abort.abort('lost')
    // So that the database is asked for it.
    expect(queue.ids()).toEqual([])
    expect(queue.has(1, 'again 2')).toBe(false)
    expect(queue.add([again(2)], 1)).toBe(true)
    expect(queue.busy()).toEqual({ tts: 1 })
    const second = queue.next()!
    expect(second.job).toEqual(again(2))
    // Not known to be lost yet; no slot is free for the third.
    expect(queue.add([again(3)], 2)).toBe(true)
    expect(second.abort.aborted).toBe(true)
    expect(queue.next()).toBeUndefined()
    expect(queue.leave()).toEqual([again(3)])
    queue.stay()
    // What is older than what is in hand changes nothing.
    queue.add([again(2)], 3)
    queue.remove(old)
    expect(queue.next()!.job).toEqual(again(3))
    queue.remove(second)
    expect(queue.busy()).toEqual({})
  })
})
