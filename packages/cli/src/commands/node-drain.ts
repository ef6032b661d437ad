import type { Context } from '../context.ts'
import { counted, safe } from '../wording.ts'

/** `earshot node drain NODE`: it finishes what it has and gets nothing more until it is resumed. */
export async function run(
  { client, output, interrupts }: Context,
  [id = '']: string[],
): Promise<void> {
  const node = await client.drainNode(id, { signal: interrupts.first })
  if (output.json) return output.printJson(node)
  const left =
    node.open_jobs === 0
      ? 'It has nothing in hand'
      : `It finishes ${counted(node.open_jobs, 'job')}`
  output.print(
    `Node ${safe(node.id)} is drained. ${left}; it gets nothing more until: earshot node resume ${safe(node.id)}`,
  )
}
