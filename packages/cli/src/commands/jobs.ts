import type { JobStatus, ListedJob } from '@earshot/contract'
import type { Context } from '../context.ts'
import type { Output } from '../output.ts'
import { ago, safe, table } from '../wording.ts'

/** `earshot jobs`: lists jobs, newest first. */
export async function run(
  { client, output, interrupts }: Context,
  _: string[],
  { status, limit }: { status?: JobStatus; limit?: number },
): Promise<void> {
  const jobs = await client.jobs({
    limit,
    signal: interrupts.first,
    ...(status === undefined ? {} : { status }),
  })
  if (output.json) return output.printJson({ jobs })
  if (jobs.length === 0)
    return output.note(status === undefined ? 'There are no jobs yet.' : `No job is ${status}.`)
  for (const line of jobTable(output, jobs)) output.print(line)
}

/** Jobs as lines, one each under their headings. */
export function jobTable(output: Output, jobs: readonly ListedJob[]): string[] {
  const now = Date.now()
  const rows = jobs.map((job) => [
    String(job.id),
    job.kind,
    paintStatus(output, job.status),
    job.assigned_node ?? '',
    ago(job.created_at, now),
    remark(job),
  ])
  return table(['JOB', 'KIND', 'STATUS', 'NODE', 'CREATED', ''], rows)
}

function remark(job: ListedJob): string {
  const said = sentence(job)
  const title = titleOf(job)
  if (title === undefined || said?.includes(title)) return said ?? ''
  return said === undefined ? title : `${title}: ${said}`
}

function sentence({ error, progress, status }: ListedJob): string | undefined {
  if (progress !== null && status === 'running') return `${Math.round(progress * 100)} %`
  return error === null ? undefined : safe(error.message)
}

/** What the job is about, where its payload says. */
export function titleOf({ title }: ListedJob): string | undefined {
  return title ? safe(title) : undefined
}

/** A job's status in the colour of its mood. */
export function paintStatus(output: Output, status: JobStatus): string {
  if (status === 'failed') return output.red(status)
  if (status === 'completed') return output.green(status)
  return status === 'cancelled' ? output.dim(status) : output.yellow(status)
}
