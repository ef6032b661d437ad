import { EarshotError } from '@earshot/contract'
import { serve as serveUntilStopped, type Serving } from '@earshot/shared/serve'
import type { Context } from './context.ts'
import { EXIT } from './exit-code.ts'
import { forgetAddress } from './running-mesh.ts'

/**
 * Runs services until a signal comes, as a command does.
 *
 * @returns 0 once everything has stopped in order
 * @throws the error of a service that could not start or go on
 */
export async function serve(
  { config, log, interrupts, output }: Context,
  serving: Serving,
): Promise<number> {
  try {
    await serveUntilStopped(
      { database: config.database, log, interrupts, note: output.note },
      serving,
    )
  } finally {
    if (serving.migrates) forgetAddress(config.home)
  }
  return EXIT.ok
}

/**
 * @throws EarshotError EARSHOT_DATABASE_NEEDED without DATABASE_URL: the embedded database serves
 *   one process only.
 */
export function requireServer({ config }: Context, command: string): void {
  if (config.database.url !== undefined) return
  throw new EarshotError(
    'EARSHOT_DATABASE_NEEDED',
    `earshot ${command} needs DATABASE_URL, the PostgreSQL server that the mesh shares.`,
    {
      field: 'DATABASE_URL',
      hint: 'On one machine alone, earshot up needs no server.',
    },
  )
}
