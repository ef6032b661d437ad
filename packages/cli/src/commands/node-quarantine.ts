import type { Context } from '../context.ts'
import { safe } from '../wording.ts'

/**
 * `earshot node quarantine NODE`: it gets nothing more until it is resumed, and what it has goes
 * back at once, uncharged.
 */
export async function run(
  { client, output, interrupts }: Context,
  [id = '']: string[],
  { reason }: { reason?: string },
): Promise<void> {
  const node = await client.quarantineNode(id, {
    signal: interrupts.first,
    ...(reason === undefined ? {} : { reason }),
  })
  if (output.json) return output.printJson(node)
  output.print(
    `Node ${safe(node.id)} is in quarantine; what it had went back. It gets nothing more until: earshot node resume ${safe(node.id)}`,
  )
}
