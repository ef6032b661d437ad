import { PROTOCOL } from '@earshot/contract'
import type { WhyView } from '@earshot/contract'
import {
  finishJobs,
  handBackJobs,
  startJobs,
  submitJobs,
  takeAssignments,
} from '@earshot/db/functions/jobs'
import {
  acquireLeadership,
  listLanes,
  listNextJobs,
  routeJobs,
} from '@earshot/db/functions/leadership'
import { drainNode, setNodeDrain, quarantineNode, registerNode } from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { type Mesh, startMesh } from './mesh.ts'

describe.each(databases)('why a job waits (%s)', (kind) => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await startMesh(kind)
    // No one sends heartbeats here, and on a busy machine a test may take longer than the usual
    // seconds.
    await sql(`update earshot.settings set leadership = '1 hour', routable = '10 minutes'`)
    await sql(`insert into earshot.job_kinds (kind, role) values ('count', 'tts')`)
    await sql(`insert into earshot.job_kinds (kind, role, whole) values ('carve', 'tts', true)`)
  })
  afterAll(() => mesh[Symbol.asyncDispose]())
  beforeEach(async () => {
    for (const table of ['jobs', 'nodes', 'media', 'coordinators'])
      await sql(`delete from earshot.${table}`)
    await acquireLeadership(mesh.test.db.pool, 'test', true)
  })
  const sql = (text: string, values: unknown[] = []) => mesh.test.db.pool.query(text, values)
  const db = () => mesh.test.db.pool

  const join = (
    id: string,
    more: {
      tags?: Record<string, unknown>
      roles?: string[]
      slots?: number
      protocol?: number
    } = {},
  ): Promise<number> =>
    registerNode(db(), {
      id,
      name: id,
      host: null,
      port: null,
      version: '0',
      protocol: more.protocol ?? PROTOCOL,
      roles: more.roles ?? ['tts'],
      tags: { node: id, ...more.tags },
      capabilities: {},
      slots: { tts: more.slots ?? 1 },
    })
  const count = async (more: object = {}): Promise<number> =>
    (await submitJobs(db(), [{ kind: 'count', payload: {}, ...more }]))[0]!.id
  /** Gives the next jobs to a node, as many as there are incarnations, and returns them. */
  async function give(node: string, incarnation: number, many = 1) {
    const term = await acquireLeadership(db(), 'test', true)
    const jobs = await listNextJobs(
      db(),
      (await listLanes(db())).map((lane) => ({ ...lane, rank: 0, most: many })),
      many,
    )
    await routeJobs(
      db(),
      term!,
      jobs.map(({ id }) => ({ job: id, node, incarnation })),
    )
    return takeAssignments(db(), node, incarnation, [])
  }
  const why = (id: number): Promise<WhyView> => mesh.client.why(id)
  const nodeOf = async (id: number, node: string) =>
    (await why(id)).nodes.find((one) => one.node === node)

  test('is not told of a job that never was', async () => {
    await expect(why(999_999)).rejects.toMatchObject({ code: 'EARSHOT_NOT_FOUND' })
  })

  test('no node has its role: what is missing is named, and that it starts when one joins', async () => {
    await join('box', { roles: ['stt_batch'] })
    const id = await count()
    expect(await why(id)).toMatchObject({
      sentence:
        'No known node can run it: there is no node with role tts. It starts when one joins.',
      missing: ['a node with role tts'],
      expected_start: null,
      nodes: [{ node: 'box', chance: 'never', reasons: ['role tts missing'] }],
    })
  })

  test('no node hears its language: those there are are named', async () => {
    await join('ears', { roles: ['stt_batch'], tags: { languages: ',en,fr,' } })
    const id = await count({ role: 'stt_batch', requires: { languages: '*,de,*' } })
    expect(await why(id)).toMatchObject({
      sentence:
        'No known node can run it: there is no node that hears de (there are: en, fr). It starts when one joins.',
      nodes: [{ node: 'ears', chance: 'never', reasons: ['hears en, fr, not de'] }],
    })
    await join('more ears', { roles: ['stt_batch'], tags: { languages: ',da,de,' } })
    expect(await why(id)).toMatchObject({
      missing: [],
      nodes: [
        { node: 'ears', chance: 'never' },
        { node: 'more ears', chance: 'now' },
      ],
    })
  })

  test('no node has enough of a tag, or the one it is pinned to is unknown', async () => {
    await join('small', { tags: { vram_gb: 8 } })
    await join('smaller', { tags: { vram_gb: 4 } })
    const [big, pinned] = [
      await count({ requires: { vram_gb: { '>=': 12 } } }),
      await count({ requires: { node: 'attic' } }),
    ]
    expect(await why(big)).toMatchObject({
      missing: ['a node with tag vram_gb >= 12'],
      nodes: [
        { node: 'small', chance: 'never', reasons: ['tag vram_gb 8 < 12'] },
        { node: 'smaller', reasons: ['tag vram_gb 4 < 12'] },
      ],
    })
    expect((await why(pinned)).sentence).toContain('there is no node attic.')
  })

  test('every need is met by somebody, but by no node all of them', async () => {
    await join('fast', { tags: { gpu: 'nvidia-3060' } })
    await join('near', { tags: { place: 'attic' } })
    expect((await why(await count({ requires: { gpu: true, place: 'attic' } }))).missing).toEqual([
      'all of it on one node; the nearest is fast: tag place missing',
    ])
  })

  test('full: until when, at which place, and when it is expected to start, from measured run times', async () => {
    const box = await join('box')
    await sql(`insert into earshot.jobs (kind, role, status, assigned_node, assigned_at, started_at, finished_at)
      select 'count', 'tts', 'completed', 'box', now() - interval '3 hours', now() - interval '2 hours', now() - interval '2 hours' + s * interval '1 minute'
      from unnest(array[10, 40, 100]) s`)
    const [running, , third] = [await count(), await count(), await count()]
    const [job] = await give('box', box)
    await startJobs(db(), 'box', box, [job!])
    await sql(`update earshot.jobs set started_at = now() - interval '15 minutes' where id = $1`, [
      running,
    ])
    const answer = await why(third)
    expect(answer).toMatchObject({
      position: 2,
      before_in_other_lanes: 0,
      nodes: [
        {
          node: 'box',
          chance: 'later',
          reasons: [expect.stringMatching(/^full for about 2[45] min$/)],
        },
      ],
    })
    expect(answer.sentence).toMatch(
      /^It is number 2 of its lane\. It could run on box \(full for about 2[45] min\)\. Expected to start in about 6[45] min\.$/,
    )
    expect((Date.parse(answer.expected_start!) - Date.now()) / 60_000).toBeGreaterThan(60)
    expect((await why(running)).sentence).toMatch(
      /^It has been running on box for 15 min, attempt 1\. Such jobs take about 40 min there\.$/,
    )
  })

  test('jobs of other lanes that need the same nodes count as before it, those of other nodes do not', async () => {
    await join('box', { tags: { gpu: 'x' } })
    await join('plain', { slots: 5 })
    await count({ requires: { gpu: 'x' }, priority: 5 })
    await count({ requires: { node: 'plain' }, priority: 5 })
    const id = await count({ requires: { node: 'box' } })
    expect(await why(id)).toMatchObject({ position: 1, before_in_other_lanes: 1 })
  })

  /** Two minutes a carving, as measured on the box. */
  const measured = () =>
    sql(`insert into earshot.jobs (kind, role, status, assigned_node, started_at, finished_at)
    values ('carve', 'tts', 'completed', 'box', now() - interval '2 hours', now() - interval '118 minutes')`)

  test('interactive work is bound by the longest piece in hand that cannot be cut, which is named with what is left of it', async () => {
    const box = await join('box', { slots: 3 })
    await measured()
    const [old, young] = [await count({ kind: 'carve' }), await count({ kind: 'carve' })]
    const jobs = await give('box', box, 2)
    await startJobs(db(), 'box', box, jobs)
    await sql(`update earshot.jobs set started_at = now() - interval '80 seconds' where id = $1`, [
      old,
    ])
    await sql(`update earshot.jobs set started_at = now() - interval '20 seconds' where id = $1`, [
      young,
    ])
    const third = await count({ class: 'interactive' })
    await give('box', box, 1)
    const waits = await count({ class: 'interactive' })
    const reasons = (await nodeOf(waits, 'box'))!.reasons
    expect(reasons).toEqual([
      expect.stringMatching(/^full for about (3\d|40) s$/),
      expect.stringMatching(
        new RegExp(
          `^busy with job ${young} \\(carve, cannot be cut\\), about (9\\d s|100 s|2 min) left$`,
        ),
      ),
    ])
    const answer = await why(waits)
    expect(answer).toMatchObject({ class: 'interactive', position: 1 })
    expect(answer.sentence).toContain(`cannot be cut`)
    expect((await why(third)).sentence).toMatch(/^It was given out/)
  })

  test('a slot is kept free for interactive work: batch work that cannot be cut is told so, and others get it', async () => {
    const box = await join('box', { slots: 2 })
    await measured()
    await count({ kind: 'carve' })
    const jobs = await give('box', box)
    await startJobs(db(), 'box', box, jobs)
    const [held, other] = [
      await count({ kind: 'carve' }),
      await count({ class: 'interactive', kind: 'carve' }),
    ]
    expect(await nodeOf(held, 'box')).toMatchObject({
      chance: 'later',
      reasons: [
        'its last slot is kept free for interactive work; full for this kind for about 2 min',
      ],
    })
    expect(await nodeOf(other, 'box')).toMatchObject({ chance: 'now', reasons: [] })
  })

  test('a batch job stands behind interactive ones of its own and other lanes, and is told when its lane gets a turn', async () => {
    const box = await join('box')
    await count()
    await give('box', box)
    const [first, second] = [await count({ priority: 5 }), await count()]
    for (let i = 0; i < 2; i++) await count({ class: 'interactive', priority: -5 })
    await count({ class: 'interactive', requires: { node: 'box' } })
    expect(await why(second)).toMatchObject({
      class: 'batch',
      position: 4,
      before_in_other_lanes: 1,
      sentence: expect.stringContaining(
        '3 jobs of these are interactive; after 10 min its lane gets one start in ten.',
      ),
    })
    await sql(`update earshot.jobs set run_at = now() - interval '11 minutes' where id = $1`, [
      first,
    ])
    expect((await why(second)).sentence).toContain(
      'its lane has waited for longer than 10 min and gets one start in ten.',
    )
    expect((await why(await count({ class: 'interactive', priority: -5 }))).position).toBe(3)
  })

  test('it waits in the queue of a node', async () => {
    const box = await join('box')
    const [running, queued] = [await count(), await count()]
    const [job] = await give('box', box, 2)
    await startJobs(db(), 'box', box, [job!])
    expect((await why(running)).sentence).toMatch(/^It has been running on box/)
    expect((await why(queued)).sentence).toBe(
      'It waits in the queue of box, attempt 1, and goes back as soon as another node has room.',
    )
  })

  test('drained, stopping, in quarantine, of another protocol, silent or offline: each node says its own', async () => {
    const stopping = await join('stopping')
    await Promise.all(['drained', 'closed', 'broken', 'silent', 'gone'].map((id) => join(id)))
    await join('old', { protocol: 0 })
    await setNodeDrain(db(), 'drained')
    await drainNode(db(), 'stopping', stopping)
    await quarantineNode(db(), 'closed', 'It smells of smoke.')
    await sql(
      `insert into earshot.quarantines (node, role, reason, rest, probe_at) values ('broken', 'tts', 'It failed.', '30 s', now() + interval '20 min')`,
    )
    await sql(
      `update earshot.node_leases set last_seen = now() - interval '20 minutes' where node = 'silent'`,
    )
    await sql(
      `with left_long_ago as (update earshot.node_leases set last_seen = now() - interval '3 hours' where node = 'gone')
        update earshot.nodes set status = 'offline' where id = 'gone'`,
    )
    const answer = await why(await count())
    expect(answer.nodes).toEqual([
      {
        node: 'broken',
        chance: 'later',
        reasons: [
          expect.stringMatching(
            /^in quarantine for tts until it is probed in (19|20) min: It failed\.$/,
          ),
        ],
      },
      { node: 'closed', chance: 'later', reasons: ['in quarantine: It smells of smoke.'] },
      { node: 'drained', chance: 'later', reasons: ['drained'] },
      { node: 'gone', chance: 'later', reasons: ['offline for 3 h'] },
      { node: 'old', chance: 'later', reasons: ['other protocol: it speaks 0, the mesh 2'] },
      { node: 'silent', chance: 'later', reasons: [expect.stringMatching(/^silent for 2\d min$/)] },
      { node: 'stopping', chance: 'later', reasons: ['stopping'] },
    ])
    expect(answer).toMatchObject({
      missing: [],
      expected_start: null,
      sentence: expect.stringContaining('drained (drained)'),
    })
  })

  test('its media lies on a coordinator that is away', async () => {
    await join('box', { roles: ['stt_batch'] })
    const hash = 'ab'.repeat(32)
    await sql(
      `insert into earshot.media (hash, size, holder, path) values ($1, 1, 'study', '/x')`,
      [hash],
    )
    await sql(`select earshot.touch_coordinator('study', 'http://study', '1', 1)`)
    const [job] = await submitJobs(db(), [{ kind: 'transcribe', payload: { media: hash } }])
    expect(await nodeOf(job!.id, 'box')).toMatchObject({ chance: 'now', reasons: [] })
    await sql(`update earshot.coordinators set last_seen = '2026-01-02 03:04:05Z'`)
    expect(await nodeOf(job!.id, 'box')).toMatchObject({
      chance: 'later',
      reasons: ['media abababababab… on study, unreachable since 2026-01-02T03:04:05.000Z'],
    })
    expect((await why(job!.id)).expected_start).toBeNull()
  })

  test('it waits for parents: which, and how far those are', async () => {
    const [a, b] = [await count(), await count()]
    const child = await count({ after: [a, b] })
    const box = await join('box')
    await give('box', box)
    expect(await why(child)).toMatchObject({
      status: 'blocked',
      sentence: `It waits for job ${a} (assigned) and job ${b} (pending).`,
      waits_for: [
        { id: a, status: 'assigned' },
        { id: b, status: 'pending' },
      ],
    })
  })

  test('its time has not come: as asked for, or because it rests, with the reason', async () => {
    const box = await join('box')
    const later = await count({ run_at: '2040-01-02T03:04:05Z' })
    expect(await why(later)).toMatchObject({
      sentence: expect.stringMatching(
        /^It is not to start before 2040-01-02T03:04:05\.000Z \(in \d+ d\)\.$/,
      ),
      expected_start: '2040-01-02T03:04:05.000Z',
    })
    const resting = await count()
    const [job] = await give('box', box)
    await handBackJobs(db(), 'box', box, [job!], {
      sentence: 'The holder does not answer',
      cause: 'away',
      delayS: 600,
    })
    expect((await why(resting)).sentence).toMatch(
      /^It rests until 20.*Z \(in 10 min\), because: The holder does not answer\.$/,
    )
  })

  test('nothing is in its way: it starts at any moment; and nothing is given out while nobody leads', async () => {
    await join('box')
    const id = await count()
    expect(await why(id)).toMatchObject({
      sentence: 'It starts at any moment: box has room.',
      position: 1,
      nodes: [{ node: 'box', chance: 'now', reasons: [] }],
    })
    await sql(`update earshot.leader set expires_at = now() - interval '1 minute'`)
    expect((await why(id)).sentence).toMatch(/^No coordinator leads at the moment/)
  })

  test('it must run alone: on a node that is empty, which others keep away from', async () => {
    const box = await join('box', { slots: 2 })
    await join('spare')
    const beside = await count()
    await give('box', box)
    const [alone, other] = [await count(), await count({ requires: { node: 'spare' } })]
    await sql('update earshot.jobs set alone = true, due = false where id = $1', [alone])
    await sql(`update earshot.nodes set reserved_for = $1 where id = 'spare'`, [alone])
    expect(await why(alone)).toMatchObject({
      sentence:
        'Nodes died with it in hand, so it runs alone, on a node that is empty. It could run on box (not empty: 1 in hand, and the job runs alone).',
    })
    expect(await nodeOf(other, 'spare')).toMatchObject({
      reasons: [`kept free for job ${alone}, which runs alone`],
    })
    expect((await why(beside)).sentence).toMatch(/^It was given out/)
  })

  test('it has ended: how, when, and why', async () => {
    const box = await join('box')
    const [done, failed, cancelled] = [await count(), await count(), await count()]
    const jobs = await give('box', box, 2)
    await finishJobs(
      db(),
      'box',
      box,
      jobs.map((job) => ({
        ...job,
        outcome:
          job.id === done
            ? { output: {} }
            : {
                error: {
                  code: 'EARSHOT_ENGINE_FAILED',
                  message: 'The voice broke.',
                  verdict: 'final',
                },
              },
      })),
    )
    await mesh.client.cancel(cancelled)
    expect((await why(done)).sentence).toMatch(/^It was completed \d.* ago on box, after .* s\.$/)
    expect((await why(failed)).sentence).toMatch(/^It failed \d.* ago: The voice broke\.$/)
    expect((await why(cancelled)).sentence).toMatch(
      /^It was cancelled \d.* ago: Cancelled on request\.$/,
    )
  })
})
