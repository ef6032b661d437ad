import { EarshotError } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import { listCoordinators } from '@earshot/db/functions/documents'
import type { Log } from '@earshot/shared/log'

/** Coordinators greet every 5 s; one silent for longer than this is not asked. */
const SILENT_S = 60
const PATIENCE_MS = 5_000

/**
 * Shows the mesh key to the first coordinator that answers, before the node joins: a worker with
 * another key would be given jobs whose results no coordinator takes. Where none answers it proves
 * nothing, and the worker joins: the coordinators may start later.
 *
 * @throws EarshotError EARSHOT_BAD_CONFIG when the key is missing or wrong
 * @example
 * await proveKey({ db, key: config.key, log })
 */
export async function proveKey({
  db,
  key,
  log,
}: {
  db: Database
  key: string | null
  log: Log
}): Promise<void> {
  for (const { url, seen_s } of await listCoordinators(db.pool)) {
    if (seen_s > SILENT_S) continue
    const status = await ask(url, key).catch((err: unknown) => {
      log.debug({ err, url }, 'A coordinator could not be asked whether the key is right')
      return undefined
    })
    if (status === undefined) continue
    if (status !== 401) return
    throw new EarshotError(
      'EARSHOT_BAD_CONFIG',
      `The coordinator at ${new URL(url).host} refuses this worker's key, so the worker does not join.`,
      {
        field: 'EARSHOT_KEY',
        hint: "Set EARSHOT_KEY to the coordinator's key, then start the worker again.",
      },
    )
  }
}

async function ask(url: string, key: string | null): Promise<number> {
  const answer = await fetch(`${url}/v1/kinds`, {
    headers: key === null ? {} : { authorization: `Bearer ${key}` },
    redirect: 'error',
    signal: AbortSignal.timeout(PATIENCE_MS),
  })
  await answer.body?.cancel()
  return answer.status
}
