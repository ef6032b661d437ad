import { readNodes } from '@earshot/coordinator/queries/nodes'
import { checkSchema } from '@earshot/db/migrate'
import type { Context } from '../context.ts'
import { embeddedExists, isEmbedded, meshHealth, withDatabase } from '../database-access.ts'
import { printNodes } from './nodes.ts'

/**
 * `earshot db nodes`: the same as `earshot nodes`, read from the database itself when no mesh
 * answers.
 */
export async function run(context: Context): Promise<void> {
  const { client, output, interrupts } = context
  if ((await meshHealth(context)) !== null)
    return printNodes(output, await client.nodes({ signal: interrupts.first }))
  if (isEmbedded(context) && !embeddedExists(context)) return printNodes(output, [])
  printNodes(
    output,
    await withDatabase(context, async (db) =>
      (await checkSchema(db)).version === 0 ? [] : readNodes(db.pool),
    ),
  )
}
