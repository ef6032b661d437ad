import type { EventView, JobView } from '@earshot/contract'
import type { Context } from '../context.ts'
import type { Output } from '../output.ts'
import { ago, duration, safe } from '../wording.ts'
import { jobId } from './job-id.ts'
import { paintStatus, titleOf } from './jobs.ts'

/** `earshot job ID`: one job, the sentence of its error, and what happened to it. */
export async function run(
  { client, output, interrupts }: Context,
  [id = '']: string[],
): Promise<void> {
  const job = await client.get(jobId(id), { signal: interrupts.first })
  if (output.json) return output.printJson(job)
  output.print(
    `Job ${job.id}: ${job.kind}, ${paintStatus(output, job.status)}${job.error === null ? '' : `. ${safe(job.error.message)}`}`,
  )
  for (const [name, value] of facts(job)) output.print(`  ${name.padEnd(10)} ${value}`)
  printHistory(output, job.history ?? [])
}

function facts(job: JobView): [string, string][] {
  const now = Date.now()
  const took =
    job.assigned_at !== null && job.finished_at !== null
      ? (Date.parse(job.finished_at) - Date.parse(job.assigned_at)) / 1000
      : null
  const requires = Object.entries(job.requires)
    .map(([tag, value]) => `${tag}=${value}`)
    .join(', ')
  return Object.entries({
    error: job.error?.code ?? undefined,
    title: titleOf(job),
    document: job.document_id?.toString(),
    needs: `${job.role}${requires === '' ? '' : ` with ${safe(requires)}`}`,
    node: job.assigned_node ?? undefined,
    attempt:
      job.attempt === 0
        ? undefined
        : job.tries === 0
          ? String(job.attempt)
          : `${job.attempt} (failed by itself ${job.tries} of ${job.max_tries} times)`,
    progress: job.progress === null ? undefined : `${Math.round(job.progress * 100)} %`,
    created: ago(job.created_at, now),
    took: took === null ? undefined : duration(took),
    deadline: job.deadline ?? undefined,
  }).filter((pair): pair is [string, string] => pair[1] !== undefined)
}

function printHistory(output: Output, history: EventView[]): void {
  if (history.length === 0) return
  output.print()
  for (const event of history) {
    const data = Object.entries(event.data)
      .map(
        ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
      )
      .join(' ')
    output.print(
      `  ${output.dim(new Date(event.at).toLocaleString('sv-SE'))}  ${event.type.padEnd(14)} ${event.node === null ? '' : `on ${event.node} `}${output.dim(safe(data))}`.trimEnd(),
    )
  }
}
