import { PROTOCOL } from '@earshot/contract'
import { finishJobs, submitJobs, takeAssignments } from '@earshot/db/functions/jobs'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { updateOffer, heartbeat, setNodeDrain, registerNode } from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../../../test/helpers/database.ts'
import { type PlacementCache, createPlacementCache } from '../src/routing/placement-cache.ts'
import { routeAll } from '../src/routing/route.ts'

const lane = { lane: '1', class: 'batch', role: 'tts', requires: {}, aged: false } as const
const node = (id: string) => ({
  id,
  incarnation: 1,
  roles: ['tts'],
  tags: { cores: 2 },
  free: {},
  load: {},
  speeds: {},
  warm: [],
  shares: [],
})

describe('precedents', () => {
  test('hold for five seconds, the latest of each lane and class, and no more than sixteen', () => {
    let now = 0
    const placementCache = createPlacementCache(() => now)
    placementCache.note(lane, node('a'))
    placementCache.note(lane, node('b'))
    placementCache.note({ ...lane, class: 'interactive' }, node('c'))
    expect(placementCache.now()).toEqual([
      { lane: '1', class: 'batch', node: 'b', incarnation: 1, roles: ['tts'], tags: { cores: 2 } },
      {
        lane: '1',
        class: 'interactive',
        node: 'c',
        incarnation: 1,
        roles: ['tts'],
        tags: { cores: 2 },
      },
    ])
    now = 4999
    expect(placementCache.now()).toHaveLength(2)
    placementCache.note(lane, node('d'))
    now = 5000
    expect(placementCache.now().map((one) => one.node)).toEqual(['d'])
    for (let i = 0; i < 20; i++) placementCache.note({ ...lane, lane: String(i) }, node('e'))
    expect(placementCache.now().map((one) => one.lane)).toEqual(
      Array.from({ length: 16 }, (_, i) => String(i + 4)),
    )
  })
})

describe.each(databases)('a job that comes alone, on %s', (kind) => {
  let held: TestDatabase
  let term: string
  let placementCache: PlacementCache
  beforeAll(async () => {
    held = await testDatabase(kind)
    await sql(`update earshot.settings set leadership = '1 hour', routable = '10 minutes'`)
    await sql(`insert into earshot.job_kinds (kind, role) values ('count', 'tts')`)
  })
  afterAll(() => held[Symbol.asyncDispose]())
  const db = () => held.db.pool
  const sql = (text: string, values: unknown[] = []) => held.db.pool.query(text, values)
  const offer = { roles: ['tts'], tags: {}, capabilities: {}, slots: { tts: 2 } }
  const join = (id: string, more: Partial<typeof offer> = {}) =>
    registerNode(db(), {
      id,
      name: id,
      host: null,
      port: null,
      version: '0',
      protocol: PROTOCOL,
      ...offer,
      ...more,
    })
  const submit = async (more: object = {}) =>
    (await submitJobs(db(), [{ kind: 'count', payload: {}, ...more }]))[0]!.id
  /** Over how many nodes it looked; null: over none. And who has what. */
  async function route(): Promise<{ looked: number | null; has: Record<string, number[]> }> {
    let looked: number | null = null
    await routeAll(held.db, {
      term,
      placementCache,
      onNodes: (count) => {
        looked = count
      },
    })
    const { rows } = await sql(
      `select assigned_node as node, array_agg(id::int order by id) as ids from earshot.jobs where status in ('assigned', 'running') group by 1`,
    )
    return { looked, has: Object.fromEntries(rows.map((row) => [row.node, row.ids])) }
  }
  async function finish(id: string, incarnation: number): Promise<void> {
    const jobs = await takeAssignments(db(), id, incarnation, [])
    await finishJobs(
      db(),
      id,
      incarnation,
      jobs.map((job) => ({ ...job, outcome: { output: {} } })),
    )
  }
  /** Two nodes, one of which did such a job a moment ago. */
  let a: number
  let b: number
  beforeEach(async () => {
    for (const table of ['jobs', 'quarantines', 'nodes']) await sql(`delete from earshot.${table}`)
    term = (await acquireLeadership(db(), 'test', true))!
    placementCache = createPlacementCache()
    a = await join('a')
    b = await join('b')
    const first = await submit()
    expect(await route()).toEqual({ looked: 2, has: { a: [first] } })
    await finish('a', a)
  })

  test('goes to where such a job went a moment ago, without a look over all nodes', async () => {
    const job = await submit()
    expect(await route()).toEqual({ looked: null, has: { a: [job] } })
    const {
      rows: [row],
    } = await sql(
      'select status, incarnation, attempt, fence is not null as fenced from earshot.jobs where id = $1',
      [job],
    )
    expect(row).toEqual({ status: 'assigned', incarnation: a, attempt: 1, fenced: true })
  })

  test('where nothing waits, there is nothing to look at', async () => {
    expect(await route()).toEqual({ looked: null, has: {} })
  })

  test.each<[string, () => Promise<unknown>]>([
    [
      'has something in hand',
      async () =>
        sql(
          `insert into earshot.jobs (kind, role, status, assigned_node, incarnation, fence) values ('count', 'tts', 'running', 'a', $1, 1)`,
          [a],
        ),
    ],
    ['winds something down', async () => heartbeat(db(), 'a', a, { tts: 1 })],
    ['is held back by a person', async () => setNodeDrain(db(), 'a')],
    [
      'has a role in quarantine',
      async () =>
        sql(
          `insert into earshot.quarantines (node, role, reason, rest, probe_at) values ('a', 'llm', 'x', '1 hour', now() + interval '1 hour')`,
        ),
    ],
    [
      'has been silent for longer than it may',
      async () =>
        sql(
          `update earshot.node_leases set last_seen = now() - interval '1 hour' where node = 'a'`,
        ),
    ],
    ['was started anew', async () => join('a')],
    [
      'offers something else',
      async () => updateOffer(db(), a, { id: 'a', ...offer, tags: { cores: 2 } }),
    ],
    [
      'speaks another protocol',
      async () => sql(`update earshot.nodes set protocol = 0 where id = 'a'`),
    ],
  ])('is looked at over all nodes when that node %s', async (_what, change) => {
    await change()
    const job = await submit()
    const { looked, has } = await route()
    expect(looked).not.toBeNull()
    expect(Object.values(has).flat()).toContain(job)
  })

  test('is looked at over all nodes when it does not come alone, when it has media, and when it is of another lane or class', async () => {
    for (const jobs of [
      [{}, {}],
      [{ payload: { media: 'x' } }],
      [{ requires: { cores: { '>=': 0 } } }],
      [{ class: 'interactive' }],
    ]) {
      for (const more of jobs) await submit(more)
      expect((await route()).looked).toBe(2)
      await finish('a', a)
      await finish('b', b)
      await sql('delete from earshot.jobs')
    }
  })

  test('one that must run alone goes first, and nothing goes by precedent meanwhile', async () => {
    await submit()
    await sql(
      `insert into earshot.jobs (kind, role, alone, due) values ('count', 'tts', true, false)`,
    )
    expect((await route()).looked).toBe(2)
  })

  test('a choice that was made while another node was busy sets no precedent', async () => {
    placementCache = createPlacementCache()
    await sql(
      `insert into earshot.jobs (kind, role, status, assigned_node, incarnation, fence) values ('count', 'tts', 'running', 'a', $1, 1)`,
      [a],
    )
    await submit()
    expect((await route()).looked).toBe(2)
    expect(placementCache.now()).toEqual([])
  })

  test('a leader that no longer leads assigns nothing by precedent either', async () => {
    await submit()
    term = String(Number(term) + 1)
    expect((await route()).has).toEqual({})
  })
})
