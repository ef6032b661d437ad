import type { Context } from '../context.ts'
import { safe } from '../wording.ts'

/** `earshot node resume NODE`: a drained or quarantined node gets work again. */
export async function run(
  { client, output, interrupts }: Context,
  [id = '']: string[],
): Promise<void> {
  const node = await client.resumeNode(id, { signal: interrupts.first })
  if (output.json) return output.printJson(node)
  output.print(
    `Node ${safe(node.id)} gets work again${node.status === 'online' ? '' : `, once it is online (it is ${node.status})`}.`,
  )
}
