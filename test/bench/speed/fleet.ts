import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { now } from './contender.ts'
import { type Mesh, startMesh } from './earshot.ts'
import type { Bench, Part } from './part.ts'
import { processorSeconds, startChild } from './processes.ts'
import { startDelays } from './races.ts'
import { type Line, alone, compare, short } from './result.ts'

async function meshOf(
  { stage }: Bench,
  name: string,
  workers: number,
  redis?: string,
): Promise<Mesh> {
  const folder = path.join(stage.folder, name)
  await mkdir(folder)
  return startMesh({
    url: await stage.database(name, name.startsWith('counted')),
    folder,
    workers,
    ...(redis && { redis }),
  })
}

/**
 * How soon a job starts on the one node that can run it, with and without a hundred that idle, in
 * turn.
 */
export const amongIdle: Part = async (bench) => {
  const { say, quick } = bench
  const count = quick ? 20 : 100
  const lines: Line[] = []
  for (const way of (['redis', 'notify'] as const).filter(
    (one) => bench.by === undefined || one === bench.by,
  )) {
    const redis = way === 'redis' ? await bench.stage.redisUrl() : undefined
    const mesh = await meshOf(bench, `idle_${way}`, 1, redis)
    const alone: number[] = []
    const among: number[] = []
    const jobs = quick ? 40 : 200
    await startDelays(mesh, jobs)
    for (let round = 0; round < (quick ? 1 : 3); round++) {
      alone.push((await startDelays(mesh, jobs)).p50)
      const idle = await startChild('nodes.ts', {
        DATABASE_URL: mesh.url,
        COUNT: String(count),
        ...(redis && { REDIS_URL: redis }),
      })
      // Until all hear as they will.
      await sleep(5000)
      among.push((await startDelays(mesh, jobs)).p50)
      await idle.stop()
      say(
        `start by ${way}: ${short(alone.at(-1)!)} ms with one node, ${short(among.at(-1)!)} ms with ${count} more that idle`,
      )
    }
    await mesh.stop()
    lines.push(
      compare({
        measure: `enqueued → started with ${count} idle nodes, p50, by ${way === 'redis' ? 'Redis' : 'NOTIFY'}`,
        against: 'with 1 node',
        unit: 'ms',
        target: { sign: '≤', than: 1.5, unit: '×' },
        ours: among,
        peer: alone,
        ...(way === 'notify' && {
          note: 'No target is set by NOTIFY; the one by Redis stands for it.',
        }),
      }),
    )
  }
  return lines
}

/**
 * What a coordinator uses of a core while many nodes renew their leases and do a hundred jobs a
 * second.
 */
export const heartbeats: Part = async (bench) => {
  const { say, quick, seconds } = bench
  const count = quick ? 100 : 1000
  const mesh = await meshOf(bench, 'fleet', 0)
  const fleet = await startChild(
    'nodes.ts',
    { DATABASE_URL: mesh.url, COUNT: String(count), ROLE: 'noop', WORKS: '1' },
    mesh.ran,
  )
  const client = await mesh.connect()
  await sleep(4000)
  const share: number[] = []
  for (let round = 0; round < 3; round++) {
    const began = now()
    const before = processorSeconds(mesh.coordinator.child.pid!) ?? Number.NaN
    mesh.ran.reset()
    let jobs = 0
    while (now() - began < seconds * 1000) {
      await client.add({})
      jobs += 1
      await sleep(Math.max(0, began + jobs * 10 - now()))
    }
    const elapsed = (now() - began) / 1000
    share.push(
      (((processorSeconds(mesh.coordinator.child.pid!) ?? Number.NaN) - before) / elapsed) * 100,
    )
    say(
      `${count} nodes, ${short(jobs / elapsed)} jobs/s enqueued, ${short(mesh.ran.count / elapsed)} run: the coordinator used ${short(share.at(-1)!)} % of a core`,
    )
  }
  await client.close()
  await fleet.stop()
  await mesh.stop()
  return [
    alone({
      measure: `${short(count)} simulated nodes heartbeating, 100 jobs/s`,
      against: 'a core of the coordinator',
      unit: '%',
      target: { sign: '<', than: 15, unit: '%' },
      ours: share,
    }),
  ]
}

/** What a mesh that has nothing to do asks its database, and what its processes use. */
export const idling: Part = async (bench) => {
  const seconds = bench.quick ? 10 : 30
  const without = await meshOf(bench, 'counted_alone', 0)
  const coordinator = await watchIdle(without, seconds)
  await without.stop()
  const mesh = await meshOf(bench, 'counted_workers', 2)
  const all = await watchIdle(mesh, seconds)
  await mesh.stop()
  const idle = (measure: string, unit: '/s' | '%', than: number, value: number) =>
    alone({
      measure: `idle mesh: ${measure}`,
      against: unit === '%' ? 'a core' : 'queries a second',
      unit,
      target: { sign: '<', than, unit },
      ours: [value],
    })
  return [
    idle('queries of a coordinator', '/s', 4, coordinator.queries),
    idle('queries of a worker', '/s', 1, (all.queries - coordinator.queries) / 2),
    idle('processor time of a coordinator', '%', 1, all.coordinator),
    idle('processor time of a worker', '%', 1, all.worker),
  ]
}

async function watchIdle(
  mesh: Mesh,
  seconds: number,
): Promise<{ queries: number; coordinator: number; worker: number }> {
  // From another database, so that asking does not count.
  const url = new URL(mesh.url)
  const name = url.pathname.slice(1)
  url.pathname = '/postgres'
  const admin = new pg.Client({ connectionString: url.href })
  await admin.connect()
  await admin.query('create extension if not exists pg_stat_statements')
  const queries = async () =>
    Number(
      (
        await admin.query<{ n: string }>(
          'select sum(s.calls) as n from pg_stat_statements s join pg_database d on d.oid = s.dbid where d.datname = $1 and s.toplevel',
          [name],
        )
      ).rows[0]!.n,
    )
  const used = (pids: readonly number[]) =>
    pids.reduce((sum, pid) => sum + (processorSeconds(pid) ?? Number.NaN), 0)
  const [coordinator, workers] = [[mesh.coordinator.child.pid!], mesh.workers.map(({ pid }) => pid)]
  await sleep(5000)
  const before = {
    queries: await queries(),
    coordinator: used(coordinator),
    workers: used(workers),
  }
  await sleep(seconds * 1000)
  const after = { queries: await queries(), coordinator: used(coordinator), workers: used(workers) }
  await admin.end()
  return {
    queries: (after.queries - before.queries) / seconds,
    coordinator: ((after.coordinator - before.coordinator) / seconds) * 100,
    worker: ((after.workers - before.workers) / seconds / Math.max(1, workers.length)) * 100,
  }
}
