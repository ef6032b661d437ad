// graphile-worker: by its documentation's fastest settings
// (https://worker.graphile.org/docs/performance), or, with DEFAULTS, as it comes.
import { Logger, run } from 'graphile-worker'
import { CONCURRENCY } from './kind.ts'
import { createTally } from './tally.ts'

const tally = createTally()
const fastest = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }
const runner = await run({
  preset: {
    worker: {
      connectionString: process.env.DATABASE_URL!,
      concurrentJobs: CONCURRENCY,
      maxPoolSize: CONCURRENCY + 1,
      ...(process.env.DEFAULTS ? {} : fastest),
    },
  },
  taskList: { noop: (payload) => tally.ran(payload) },
  logger: new Logger(() => () => {}),
  noHandleSignals: true,
})
process.once('SIGTERM', () => void runner.stop().then(() => process.disconnect()))
tally.ready()
