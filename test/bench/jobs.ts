import { follow } from './events.ts'
import { type Bench, type Figure, figure } from './figures.ts'
import type { BenchMesh } from './mesh.ts'

/**
 * How long the mesh itself takes: a tiny job, one after another, from the request to its end as an
 * event tells it.
 */
export async function measureJobs(
  { quick, database, say }: Bench,
  { client }: BenchMesh,
): Promise<Figure[]> {
  say(`tiny jobs (${database})`)
  const done: number[] = []
  const assigned: number[] = []
  const finished: number[] = []
  await using events = await follow(client)
  for (let i = 0; i < (quick ? 5 : 30); i++) {
    const ended = events.next((event) => event.type === 'job.completed')
    const asked = performance.now()
    const id = await client.enqueue('speak', { text: 'Yes.' })
    done.push((await ended).seenAt - asked)
    const { created_at, assigned_at, finished_at } = await client.get(id)
    assigned.push(Date.parse(assigned_at!) - Date.parse(created_at))
    finished.push(Date.parse(finished_at!) - Date.parse(assigned_at!))
  }
  return [
    figure('speak “Yes.”: asked → event of its end', database, done, 'ms'),
    figure('  of that, submitted → assigned', database, assigned, 'ms'),
    figure('  of that, assigned → finished', database, finished, 'ms'),
  ]
}
