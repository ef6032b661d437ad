// BullMQ alone, as its documentation describes it.
import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { CONCURRENCY_BULLMQ } from './kind.ts'
import { createTally } from './tally.ts'

const tally = createTally()
const connection = new Redis(process.env.REDIS_URL!, { maxRetriesPerRequest: null })
const worker = new Worker('noop', async ({ data }) => tally.ran(data), {
  connection,
  concurrency: CONCURRENCY_BULLMQ,
  removeOnComplete: { count: 0 },
  removeOnFail: { count: 0 },
})
await worker.waitUntilReady()
process.once(
  'SIGTERM',
  () =>
    void worker.close().then(() => {
      connection.disconnect()
      process.disconnect()
    }),
)
tally.ready()
