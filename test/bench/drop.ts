import { open } from 'node:fs/promises'
import path from 'node:path'
import { follow } from './events.ts'
import { type Bench, type Figure, figure } from './figures.ts'
import type { BenchMesh } from './mesh.ts'

/**
 * Drop to job visible: from the writer's close to the job's row as GET /v1/jobs/:id answers it.
 * Text files, one after another, each dropped when the one before is ready, so that the inbox is
 * measured and not the recogniser's hunger for cores.
 */
export async function measureDrops(
  { quick, database, say }: Bench,
  { client, inbox }: BenchMesh,
): Promise<Figure[]> {
  say(`drop to job visible (${database})`)
  const visible: number[] = []
  const ready: number[] = []
  await using events = await follow(client)
  for (let i = 0; i < (quick ? 5 : 30); i++) {
    const queued = events.next((event) => event.type === 'job.queued')
    const done = events.next((event) => event.type === 'document.ready')
    const file = await open(path.join(inbox, `drop-${i}.txt`), 'wx')
    await file.writeFile(
      `Note number ${i}: the lighthouse keeper counts ${'waves '.repeat(i + 1)}.`,
    )
    await file.close()
    const closed = performance.now()
    const { job_id } = await queued
    await client.get(job_id!)
    visible.push(performance.now() - closed)
    ready.push((await done).seenAt - closed)
  }
  return [
    figure('drop → job visible', database, visible, 'ms', '≤ 300 ms'),
    figure('drop → text document ready', database, ready, 'ms'),
  ]
}
