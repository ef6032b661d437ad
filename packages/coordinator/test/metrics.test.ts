import { PROTOCOL } from '@earshot/contract'
import { submitJobs } from '@earshot/db/functions/jobs'
import { deregisterNode, registerNode } from '@earshot/db/functions/nodes'
import type { LanesView } from '@earshot/contract'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { createCounter, createHistogram, expose } from '../src/metrics/exposition.ts'
import { type Mesh, startMesh } from './mesh.ts'
import { joinNode } from './node-by-hand.ts'

type Line = { name: string; labels: Record<string, string>; value: number }

/**
 * Reads the text format; fails on a line that is none, on a name without type, and on one series
 * twice.
 */
function parse(text: string): Line[] {
  const types = new Map<string, string>()
  const seen = new Set<string>()
  const lines: Line[] = []
  expect(text.endsWith('\n')).toBe(true)
  for (const line of text.trimEnd().split('\n')) {
    const type = /^# TYPE (\w+) (counter|gauge|histogram)$/.exec(line)
    if (type !== null) types.set(type[1]!, type[2]!)
    if (line.startsWith('#')) continue
    const [, name = '', labels = '', value] =
      /^(\w+)(?:\{(.*)\})? (-?[\d.e+-]+|NaN)$/.exec(line) ?? []
    expect(value, line).toBeDefined()
    expect(
      types.get(name) ?? types.get(name.replace(/_(bucket|sum|count)$/, '')),
      line,
    ).toBeDefined()
    expect(seen.has(`${name}{${labels}`), line).toBe(false)
    seen.add(`${name}{${labels}`)
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(
      ([, label, quoted]) => [label!, JSON.parse(`"${quoted}"`) as string] as const,
    )
    lines.push({ name, labels: Object.fromEntries(pairs), value: Number(value) })
  }
  return lines
}

const find = (
  lines: Line[],
  name: string,
  labels: Record<string, string> = {},
): number | undefined =>
  lines.find(
    (line) =>
      line.name === name &&
      Object.entries(labels).every(([label, value]) => line.labels[label] === value),
  )?.value

test('label values are escaped, buckets add up, and labels without end are counted together', () => {
  const counter = createCounter('n_total', 'N.')
  counter.add({ what: 'a "b"\n\\c' })
  expect(expose(counter.read())).toBe(
    '# HELP n_total N.\n# TYPE n_total counter\nn_total{what="a \\"b\\"\\n\\\\c"} 1\n',
  )
  for (let at = 0; at < 3_000; at += 1) counter.add({ what: String(at) })
  const lines = parse(expose(counter.read()))
  expect(lines).toHaveLength(1_001)
  expect(find(lines, 'n_total', { what: 'other' })).toBe(2_001)

  const histogram = createHistogram('h', 'H.', [1, 2])
  histogram.add({}, 0, 3, 1.5)
  histogram.add({}, 2, 1, 9)
  expect(
    parse(expose(histogram.read())).map(({ name, labels, value }) => [name, labels.le, value]),
  ).toEqual([
    ['h_bucket', '1', 3],
    ['h_bucket', '2', 3],
    ['h_bucket', '+Inf', 4],
    ['h_sum', undefined, 10.5],
    ['h_count', undefined, 4],
  ])
})

describe.each(databases)('what is measured, on %s', (kind) => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await startMesh(kind)
  })
  afterAll(() => mesh[Symbol.asyncDispose]())
  const scrape = async (): Promise<Line[]> =>
    parse(await (await fetch(`${mesh.url}/metrics`)).text())

  test('open jobs are counted by lane and status, nodes by status', async () => {
    const { db } = mesh.test
    const speak = { kind: 'speak', payload: { text: 'x' } }
    const [first] = await submitJobs(db.pool, [
      speak,
      speak,
      { ...speak, requires: { gpu: 'nvidia-*', vram_gb: { '>=': 8 } } },
      { ...speak, run_at: '2999-01-01T00:00:00Z' },
    ])
    await submitJobs(db.pool, [{ ...speak, after: [first!.id] }])
    await db.pool.query(
      `update earshot.jobs set run_at = now() - interval '1 hour' where id = $1`,
      [first!.id],
    )
    const lines = await scrape()
    expect(
      find(lines, 'earshot_jobs', {
        status: 'pending',
        role: 'tts',
        needs: '',
        class: 'interactive',
      }),
    ).toBe(2)
    expect(
      find(lines, 'earshot_jobs', { status: 'pending', needs: 'gpu=nvidia-*, vram_gb>=8' }),
    ).toBe(1)
    expect(find(lines, 'earshot_jobs', { status: 'resting' })).toBe(1)
    expect(find(lines, 'earshot_jobs', { status: 'blocked' })).toBe(1)
    expect(
      find(lines, 'earshot_oldest_job_seconds', { status: 'pending', needs: '' }),
    ).toBeGreaterThan(3599)
    expect(find(lines, 'earshot_nodes', { status: 'online' })).toBe(0)
    expect(find(lines, 'earshot_leading')).toBe(0)
    expect(
      find(lines, 'earshot_http_requests_total', { route: '/metrics', status: '200' }) ?? 0,
    ).toBe(0)
  })

  test('lanes say why no node can run them, as long as none can', async () => {
    const stuck = async () =>
      Object.fromEntries(
        (await mesh.client.lanes()).lanes.map(({ requires, stuck: why }) => [
          'gpu' in requires ? 'gpu' : 'any',
          why,
        ]),
      )
    expect(await stuck()).toEqual({
      any: 'No known node can run it.',
      gpu: 'No known node can run it.',
    })
    const { incarnation } = await joinNode(mesh.test.db, 'plain')
    expect(await stuck()).toEqual({
      any: null,
      gpu: 'No known node can run it; the nearest is plain: tag gpu missing, tag vram_gb missing.',
    })
    await deregisterNode(mesh.test.db.pool, 'plain', incarnation)
    expect(await stuck()).toMatchObject({ any: 'Only plain (offline) could run it.' })
    const { at, lanes }: LanesView = await mesh.client.lanes()
    expect(Math.abs(Date.parse(at) - Date.now())).toBeLessThan(3_600_000)
    expect(lanes.map(({ waiting, class: urgency }) => [waiting, urgency])).toEqual([
      [2, 'interactive'],
      [1, 'interactive'],
    ])
  })

  test('what happened is counted once: submitted, gone back by its cause, waited, run, ended', async () => {
    const { db } = mesh.test
    const node = await joinNode(db)
    const [job] = [await node.take()]
    await registerNode(db.pool, {
      id: 'box',
      name: 'box',
      host: null,
      port: null,
      version: '0',
      protocol: PROTOCOL,
      roles: ['tts'],
      tags: {},
      capabilities: {},
      slots: { tts: 1 },
    })
    const again = await joinNode(db)
    const one = await again.take()
    expect(one.id).toBe(job!.id)
    const { hash } = await mesh.client.addMedia(new Blob(['speech']))
    await again.finish(one, { output: { media: hash, duration_s: 1, engine: 'flite' }, ran_s: 3 })
    await vi.waitFor(
      async () =>
        expect(
          find(await scrape(), 'earshot_jobs_ended_total', { kind: 'speak', status: 'completed' }),
        ).toBe(1),
      { timeout: 20_000 },
    )
    const lines = await scrape()
    expect(find(lines, 'earshot_jobs_queued_total', { kind: 'speak' })).toBe(5)
    expect(find(lines, 'earshot_jobs_returned_total', { cause: 'restart' })).toBe(1)
    expect(find(lines, 'earshot_job_run_seconds_count', { kind: 'speak' })).toBe(1)
    expect(find(lines, 'earshot_job_run_seconds_sum', { kind: 'speak' })).toBe(3)
    expect(find(lines, 'earshot_job_run_seconds_bucket', { kind: 'speak', le: '2.5' })).toBe(0)
    expect(find(lines, 'earshot_job_run_seconds_bucket', { kind: 'speak', le: '5' })).toBe(1)
    expect(find(lines, 'earshot_job_start_latency_seconds_count', { kind: 'speak' })).toBe(1)
    expect(find(lines, 'earshot_nodes', { status: 'online' })).toBe(1)
    expect(find(lines, 'earshot_node_heartbeat_age_seconds', { node: 'box' })).toBeLessThan(60)
    expect(
      find(lines, 'earshot_http_requests_total', { route: '/metrics', status: '200' }),
    ).toBeGreaterThan(0)
  })

  test('counting has a bound', async () => {
    await mesh.test.db.pool.query(
      `insert into earshot.jobs (kind, role, status) select 'embed', 'rag_engine', 'pending' from generate_series(1, 10100)`,
    )
    const lines = await scrape()
    expect(find(lines, 'earshot_jobs', { status: 'pending', role: 'rag_engine' })).toBe(10_000)
  })
})

test('beyond loopback the figures need the key', async () => {
  await using mesh = await startMesh('embedded', { settings: { host: '0.0.0.0', key: 'sesame' } })
  expect((await fetch(`${mesh.url}/metrics`)).status).toBe(401)
  expect(
    (await fetch(`${mesh.url}/metrics`, { headers: { authorization: 'Bearer sesame' } })).status,
  ).toBe(200)
})
