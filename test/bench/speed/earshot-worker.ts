// A worker of the mesh as users write theirs; all its settings are in its environment.
import { handle, runWorker } from '@earshot/worker'
import { CONCURRENCY, noop } from './kind.ts'
import { createTally } from './tally.ts'

const tally = createTally()
const work = handle(noop, (payload) => {
  tally.ran(payload)
  return {}
})
// The bench looks into the database to see that it has joined.
tally.ready()
await runWorker({ kinds: [work], slots: CONCURRENCY, tags: { bench: true } })
// The channel to the bench would keep it alive.
process.disconnect()
