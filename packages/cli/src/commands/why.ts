import type { WhyNode } from '@earshot/contract'
import type { Context } from '../context.ts'
import type { Output } from '../output.ts'
import { safe, table } from '../wording.ts'
import { jobId } from './job-id.ts'

/** `earshot why JOB`: why a job is where it is, in a sentence, and each node with its reason. */
export async function run(
  { client, output, interrupts }: Context,
  [id = '']: string[],
): Promise<void> {
  const why = await client.why(jobId(id), { signal: interrupts.first })
  if (output.json) return output.printJson(why)
  output.print(`Job ${why.id}: ${why.kind}, ${why.status}. ${safe(why.sentence)}`)
  if (why.nodes.length === 0) return
  output.print()
  const rows = why.nodes.map((node) => [
    safe(node.node),
    paint(output, node),
    safe(node.reasons.join('; ')),
  ])
  for (const line of table(['NODE', 'CAN IT', 'WHY NOT'], rows)) output.print(line)
}

function paint(output: Output, { chance }: WhyNode): string {
  if (chance === 'now') return output.green(chance)
  return chance === 'later' ? output.yellow(chance) : output.dim(chance)
}
