import { PROTOCOL } from '@earshot/contract'
import { finishJobs, startJobs, submitJobs, takeAssignments } from '@earshot/db/functions/jobs'
import {
  acquireLeadership,
  listAgedJobs,
  listFreeNodes,
  listLanes,
} from '@earshot/db/functions/leadership'
import { type Measured, heartbeat, nodeChannel, registerNode } from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../../../test/helpers/database.ts'
import { createRebalance } from '../src/routing/rebalance.ts'
import { routeAll } from '../src/routing/route.ts'
import { type BatchAging, createBatchAging } from '../src/routing/batch-aging.ts'

describe.each(databases)('routing, on %s', (kind) => {
  let held: TestDatabase
  let batchAging: BatchAging
  let term: string
  beforeAll(async () => {
    held = await testDatabase(kind)
    await sql(`update earshot.settings set leadership = '1 hour', routable = '10 minutes'`)
    await sql(
      `insert into earshot.job_kinds (kind, role, whole) values ('count', 'tts', false), ('carve', 'tts', true)`,
    )
  })
  afterAll(() => held[Symbol.asyncDispose]())
  beforeEach(async () => {
    for (const table of ['jobs', 'nodes', 'media']) await sql(`delete from earshot.${table}`)
    await sql(`update earshot.settings set batch_patience = '10 minutes'`)
    term = (await acquireLeadership(db(), 'test', true))!
    batchAging = createBatchAging()
  })
  const db = () => held.db.pool
  const sql = (text: string, values: unknown[] = []) => held.db.pool.query(text, values)

  /** `slots`: of role tts, or by role. */
  async function join(
    id: string,
    slots: number | Record<string, number> = 1,
    more: { tags?: Record<string, unknown>; measured?: Partial<Measured> } = {},
  ): Promise<number> {
    const bySlots = typeof slots === 'number' ? { tts: slots } : slots
    const incarnation = await registerNode(db(), {
      id,
      name: id,
      host: null,
      port: null,
      version: '0',
      protocol: PROTOCOL,
      roles: Object.keys(bySlots).filter((role) => role !== '*'),
      tags: { node: id, ...more.tags },
      capabilities: {},
      slots: bySlots,
    })
    if (more.measured) await heartbeat(db(), id, incarnation, {}, more.measured)
    return incarnation
  }
  const submit = async (count: number, more: object = {}): Promise<number[]> =>
    (
      await submitJobs(
        db(),
        Array.from({ length: count }, () => ({ kind: 'count', payload: {}, ...more })),
      )
    ).map(({ id }) => id)
  const route = () => routeAll(held.db, { term, batchAging })
  /** Who has what, as `node: ids`. */
  async function holders(): Promise<Record<string, number[]>> {
    const { rows } = await sql(
      `select assigned_node as node, array_agg(id order by id) as ids from earshot.jobs where status in ('assigned', 'running') group by 1 order by 1`,
    )
    return Object.fromEntries(rows.map(({ node, ids }) => [node, ids.map(Number)]))
  }
  async function finishAll(node: string, incarnation: number): Promise<number[]> {
    const jobs = await takeAssignments(db(), node, incarnation, [])
    await finishJobs(
      db(),
      node,
      incarnation,
      jobs.map((job) => ({ ...job, outcome: { output: {} } })),
    )
    return jobs.map(({ id }) => id)
  }

  describe('classes', () => {
    test("a job is of the class that was asked for, else of its kind's, and nothing else is taken", async () => {
      await submit(1)
      await submitJobs(db(), [
        { kind: 'speak', payload: { text: 'a' } },
        { kind: 'speak', payload: { text: 'b' }, class: 'batch' },
      ])
      await submit(1, { class: 'interactive' })
      expect(
        (await sql('select kind, class from earshot.jobs order by id')).rows.map(
          (row) => `${row.kind} ${row.class}`,
        ),
      ).toEqual(['count batch', 'speak interactive', 'speak batch', 'count interactive'])
      await expect(submit(1, { class: 'urgent' })).rejects.toThrow(
        'class is "urgent"; expected interactive or batch.',
      )
    })
    test('an interactive job goes before all batch jobs, whatever their priority and lane', async () => {
      const box = await join('box')
      await submit(3, { priority: 1000 })
      await submit(3, { priority: 1000, requires: { node: 'box' } })
      const [somebody] = await submit(1, { class: 'interactive', priority: -1000 })
      expect(await route()).toBe(1)
      expect(await finishAll('box', box)).toEqual([somebody])
    })
    test('a lane is listed once for each of its classes', async () => {
      await submit(2)
      await submit(2, { class: 'interactive' })
      expect((await listLanes(db())).map((lane) => [lane.class, lane.aged])).toEqual([
        ['interactive', false],
        ['batch', false],
      ])
    })
    test('priority counts across lanes, and only among equals the choosier lane goes first', async () => {
      const box = await join('box', 1, { tags: { gpu: 'x' } })
      await join('full', 0)
      const [plain] = await submit(1)
      const [choosy] = await submit(1, { requires: { gpu: 'x' } })
      const [urgent] = await submit(1, { priority: 5 })
      const order: number[] = []
      for (let i = 0; i < 3; i++) {
        await route()
        order.push(...(await finishAll('box', box)))
      }
      expect(order).toEqual([urgent, choosy, plain])
    })
  })

  describe('very many lanes', () => {
    test('hide no lane that can run: each gets its turn', async () => {
      await sql(
        `insert into earshot.jobs (kind, role, requires) select 'count', 'tts', jsonb_build_object('nowhere', g) from generate_series(1, 2500) g`,
      )
      await sql(
        `insert into earshot.jobs (kind, role, requires) select 'count', 'tts', jsonb_build_object('here', true, 'nothing', false, 'n' || g, false) from generate_series(1, 40) g`,
      )
      await join('box', 40, { tags: { here: true } })
      const cursor = { after: null }
      let assigned = 0
      let nodes = 0
      for (let look = 0; look < 2; look++)
        assigned += await routeAll(held.db, { term, cursor, onNodes: () => (nodes += 1) })
      expect(assigned).toBe(40)
      expect(nodes).toBe(2)
    })
  })

  describe('jobs that must run alone', () => {
    test('are found behind a hundred that no node can run', async () => {
      await join('box')
      await submit(120, { requires: { nowhere: true } })
      const [last] = await submit(1)
      await sql('update earshot.jobs set alone = true, due = false')
      expect(await route()).toBe(1)
      expect(await holders()).toEqual({ box: [last] })
    })
  })

  describe('kinds that cannot be cut', () => {
    test('leave one slot free for interactive jobs, which may be of that kind too', async () => {
      await join('box', 3)
      const whole = await submit(4, { kind: 'carve' })
      expect(await route()).toBe(2)
      expect(await holders()).toEqual({ box: whole.slice(0, 2) })
      const [somebody] = await submit(1, { kind: 'carve', class: 'interactive' })
      await route()
      expect((await holders()).box).toContain(somebody)
    })
    test('leave that slot to batch jobs of other kinds, and none where there is only one', async () => {
      await join('box', 2)
      await join('lone')
      const whole = await submit(4, { kind: 'carve' })
      const [other] = await submit(1, { requires: { node: 'box' } })
      await route()
      const given = await holders()
      expect(
        Object.values(given)
          .flat()
          .toSorted((a, b) => a - b),
      ).toEqual([...whole.slice(0, 2), other])
      expect(given.box).toContain(other)
    })
  })

  test('roles of a node that share its total get no more than that together', async () => {
    await join('box', { tts: 2, stt_batch: 2, '*': 3 })
    expect((await listFreeNodes(db(), PROTOCOL))[0]!.free).toEqual({ tts: 2, stt_batch: 2, '*': 3 })
    await submit(4)
    await route()
    expect((await listFreeNodes(db(), PROTOCOL))[0]!.free).toEqual({ tts: 0, stt_batch: 1, '*': 1 })
    await sql(
      `insert into earshot.job_kinds (kind, role) values ('hear', 'stt_batch') on conflict do nothing`,
    )
    await submit(3, { kind: 'hear' })
    expect(await route()).toBe(1)
  })

  describe('batch work that has waited too long', () => {
    test('gets one start in ten while interactive work would fill all slots', async () => {
      await sql(`update earshot.settings set batch_patience = '0'`)
      const box = await join('box')
      const old = await submit(3)
      await submit(30, { class: 'interactive' })
      const order: boolean[] = []
      for (let i = 0; i < 22; i++) {
        await route()
        order.push(...(await finishAll('box', box)).map((id) => old.includes(id)))
      }
      expect(order.map((batch, at) => (batch ? at : -1)).filter((at) => at >= 0)).toEqual([
        0, 10, 20,
      ])
    })
    test('gets one start in ten while batch work of higher priority would fill all slots', async () => {
      const box = await join('box')
      const [old] = await submit(1, { priority: -5 })
      await sql(`update earshot.jobs set run_at = now() - interval '3 days' where id = ${old}`)
      const urgent = await submit(30, { priority: 10 })
      const order: number[] = []
      for (let i = 0; i < 12; i++) {
        await route()
        order.push(...(await finishAll('box', box)))
      }
      expect(order[0]).toBe(old)
      expect(order.slice(1)).toEqual(urgent.slice(0, 11))
    })
    test('is found behind higher priorities, the longest waiting first, of every lane', async () => {
      await join('box')
      const [low] = await submit(2, { priority: -5 })
      const [high] = await submit(2, { priority: 5 })
      await submit(1, { priority: 7 })
      await sql(`update earshot.jobs set run_at = now() - case priority when 5 then interval '1 hour' else interval '2 days' end
        where priority < 7`)
      const lanes = await listLanes(db())
      expect((await listAgedJobs(db(), lanes, 10)).map(({ id }) => id)).toEqual([low, high])
    })
    test('gets none before', async () => {
      const box = await join('box')
      await submit(1)
      const interactive = await submit(20, { class: 'interactive' })
      for (let i = 0; i < 20; i++) {
        await route()
        expect(await finishAll('box', box)).toEqual([interactive[i]])
      }
    })
    test('keeps its turn while its own nodes are full', async () => {
      await sql(`update earshot.settings set batch_patience = '0'`)
      const [mine, other] = [await join('mine'), await join('other')]
      const busy = await submit(1, { class: 'interactive', requires: { node: 'mine' } })
      await route()
      const [old] = await submit(1, { requires: { node: 'mine' } })
      await submit(5, { class: 'interactive' })
      await route()
      expect(await finishAll('other', other)).toHaveLength(1)
      expect(await finishAll('mine', mine)).toEqual(busy)
      await route()
      expect((await holders()).mine).toEqual([old])
    })
  })

  describe('queueing on a node', () => {
    test('short jobs wait on it, up to a fifth of a second of work; kinds that were not measured or take longer do not', async () => {
      await sql(
        `insert into earshot.job_kinds (kind, role) values ('slow', 'tts'), ('new', 'tts') on conflict do nothing`,
      )
      await join('box', 2, { measured: { speeds: { count: 50, slow: 1 } } })
      await submit(100, { priority: 1 })
      expect(await route()).toBe(2 + 2 * 10)
      await submit(5, { kind: 'slow', priority: 2 })
      await submit(5, { kind: 'new', priority: 2 })
      expect(await route()).toBe(0)
    })
    test('none waits where another node has a free slot', async () => {
      await join('box', 2, { measured: { speeds: { count: 50 } } })
      await join('other', 2)
      await submit(4)
      await route()
      expect(Object.values(await holders()).map((ids) => ids.length)).toEqual([2, 2])
    })
    test('none waits behind jobs that have been running for longer than a moment', async () => {
      const box = await join('box', 2, { measured: { speeds: { count: 50 } } })
      await submit(2)
      await route()
      const [one, two] = await takeAssignments(db(), 'box', box, [])
      await startJobs(db(), 'box', box, [one!])
      await submit(100)
      expect(await route()).toBe(10)
      await startJobs(db(), 'box', box, [two!])
      expect(await route()).toBe(0)
    })
    test('an interactive job joins short ones that wait, and no batch job is queued past one that waits for a slot', async () => {
      await join('box', 1, { measured: { speeds: { count: 20 } } })
      await submit(3)
      expect(await route()).toBe(3)
      const [somebody] = await submit(1, { kind: 'carve', class: 'interactive' })
      expect(await route()).toBe(1)
      expect((await holders()).box).toContain(somebody)
      await submit(1, { kind: 'carve' })
      await submit(20)
      expect(await route()).toBe(0)
    })
  })

  describe('recalling what waits on a node', () => {
    const age = () =>
      sql(
        `update earshot.jobs set assigned_at = now() - interval '1 second' where status = 'assigned'`,
      )

    test('asks for it when it waits for longer than short work would and another node has room', async () => {
      await join('box', 1, { measured: { speeds: { count: 50 } } })
      await submit(6)
      expect(await route()).toBe(6)
      const recall = createRebalance(held.db, 0)
      await age()
      expect(await recall.look(term)).toEqual([])
      const told = Promise.withResolvers<string>()
      const listener = await held.db.listen(
        { [await nodeChannel(db(), 'box')]: told.resolve },
        () => {},
      )
      await join('other')
      expect(await recall.look(term)).toEqual(['box'])
      expect(await told.promise).toBe('recall')
      await listener.close()
      await sql(`update earshot.jobs set assigned_at = now() where status = 'assigned'`)
      expect(await recall.look(term)).toEqual([])
    })
    test('leaves what no other node can do, and what does not exceed the slots', async () => {
      const box = await join('box', 1, { measured: { speeds: { count: 50 } } })
      await submit(3, { requires: { node: 'box' } })
      await route()
      await join('other')
      await age()
      const recall = createRebalance(held.db, 0)
      expect(await recall.look(term)).toEqual([])
      await finishAll('box', box)
      await submit(1, { requires: { node: 'box' } })
      await route()
      await age()
      expect(await recall.look(term)).toEqual([])
    })
  })

  describe('weighing', () => {
    test('one job goes to the fastest node; with more of them the slow one works too', async () => {
      await join('fast', 2, { measured: { speeds: { count: 2 } } })
      await join('slow', 2, { measured: { speeds: { count: 0.5 } } })
      await submit(1)
      await route()
      expect(Object.keys(await holders())).toEqual(['fast'])
      await submit(3)
      await route()
      expect(Object.values(await holders()).map((ids) => ids.length)).toEqual([2, 2])
    })
    test('of equal nodes the one whose engine is loaded, or that has the media on its own disk, goes first', async () => {
      const hash = 'ab'.repeat(32)
      await sql(
        `insert into earshot.media (hash, size, holder, path) values ($1, 1, 'study', '/x')`,
        [hash],
      )
      await join('a')
      await join('b', 1, { measured: { warm: ['count'] } })
      await submit(1)
      await route()
      expect(Object.keys(await holders())).toEqual(['b'])
      await sql('delete from earshot.jobs')
      await sql('delete from earshot.nodes')
      await join('a')
      await join('b', 1, { measured: { shares: ['study'] } })
      await submit(1, { payload: { media: hash } })
      await route()
      expect(Object.keys(await holders())).toEqual(['b'])
    })
  })
})
