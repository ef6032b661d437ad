// A worker of the kind `chaos`, as its users write theirs: node worker.ts SLOTS ZONE, all else in
// its environment.
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { EarshotError, handle, runWorker } from '@earshot/worker'
import { NO_ENGINE, chaos } from './kind.ts'

const [slots, zone] = process.argv.slice(2) as [string, string]

const work = handle(chaos, async ({ ms, fail }, { signal, job }) => {
  if (existsSync(NO_ENGINE))
    throw new EarshotError('EARSHOT_ENGINE_MISSING', 'What does it is not here.')
  await sleep(ms, undefined, { signal })
  if (fail === 'final') throw new EarshotError('EARSHOT_BAD_REQUEST', 'It can never succeed.')
  if (fail === 'tries') throw new Error('It fails wherever it runs.')
  return { node: process.env.NODE_ID!, attempt: job.attempt, fence: job.fence }
})
await runWorker({ kinds: [work], slots: Number(slots), tags: { zone } })
