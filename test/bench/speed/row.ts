import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { now } from './contender.ts'
import type { Mesh } from './earshot.ts'
import type { Part } from './part.ts'
import { handled } from './races.ts'
import { compare, short } from './result.ts'

/** As many are enqueued as keep the workers busy, and no more. */
const AHEAD = 10_000
const BATCH = 2000
/** The row is timed in so many parts of equal length; the first and the last are compared. */
const PARTS = 20

/**
 * A long row of jobs through one mesh, enqueued as fast as they are done, with a snapshot held open
 * from a quarter to three quarters of the way, which keeps the server from clearing up. Without
 * --jobs 500,000; the target is meant for 5,000,000.
 */
export const longRow: Part = async ({ stage, jobs, quick, say }) => {
  const count = quick ? 10_000 : jobs === 20_000 ? 500_000 : jobs
  const mesh = await stage.get('notify')
  mesh.ran.reset()
  await mesh.addMany(2000)
  await handled(mesh, 2000)
  await sleep(4000)
  mesh.ran.reset()
  const times: number[] = [now()]
  const adding = enqueue(mesh, count)
  const holding = holdSnapshot(mesh, count)
  for (let part = 1; part <= PARTS; part++) {
    await handled(mesh, Math.floor((count * part) / PARTS))
    times.push(now())
    say(
      `${short((count * part) / PARTS)} of ${short(count)} jobs, ${short((count / PARTS / (now() - times.at(-2)!)) * 1000)} jobs/s`,
    )
  }
  await Promise.all([adding, holding])
  const tenth = (from: number) => ((count * 2) / PARTS / (times[from + 2]! - times[from]!)) * 1000
  return [
    compare({
      measure: `${short(count)} jobs in a row, a snapshot held open for half of them: the last tenth`,
      against: 'its first tenth',
      unit: 'jobs/s',
      target: { sign: '≥', than: 0.8, unit: '×' },
      ours: [tenth(PARTS - 2)],
      peer: [tenth(0)],
      ...(count < 5_000_000 && { note: `Scaled down from 5,000,000 to ${short(count)}.` }),
    }),
  ]
}

async function enqueue(mesh: Mesh, count: number): Promise<void> {
  for (let added = 0; added < count; added += BATCH) {
    await mesh.addMany(Math.min(BATCH, count - added))
    while (added - mesh.ran.count > AHEAD) await sleep(5)
  }
}

async function holdSnapshot(mesh: Mesh, count: number): Promise<void> {
  await handled(mesh, count / 4)
  const holder = new pg.Client({ connectionString: mesh.url })
  await holder.connect()
  await holder.query('begin isolation level repeatable read; select 1 from earshot.jobs limit 1')
  await handled(mesh, (count * 3) / 4)
  await holder.query('rollback')
  await holder.end()
}
