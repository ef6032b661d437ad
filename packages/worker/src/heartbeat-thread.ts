// The thread that renews the lease; started by heartbeat.ts.
import { parentPort, workerData } from 'node:worker_threads'
import { type Measured, heartbeat } from '@earshot/db/functions/nodes'
import { type Database, openDatabase } from '@earshot/db/open'
import { silentLog } from '@earshot/shared/log'
import { createLoop } from '@earshot/shared/loop'
import { type FromThread, type ThreadData, type ToThread, askedNow } from './heartbeat.ts'

/** A main loop that did not run for so long is wedged, and its work is better done elsewhere. */
const WEDGED_MS = 30_000

const { settings, node, incarnation, token, tick, beatMs } = workerData as ThreadData
const seen = new Float64Array(tick)
const say = (message: FromThread) => parentPort!.postMessage(message)
let busy: Record<string, number> = {}
let measured: Partial<Measured> = {}
let db: Database | undefined

async function beat(): Promise<void> {
  const asked = askedNow()
  if (asked.askedAt - seen[0]! > WEDGED_MS)
    return say({ warning: 'The main loop did not run for 30 s; the lease is not renewed' })
  try {
    // Opened here and not at the start, so that a database that is away for a moment is tried
    // again.
    db ??= await openDatabase({ ...settings, poolSize: 2 })
    say({
      beat: { ...(await heartbeat(db.pool, node, incarnation, busy, measured, token)), ...asked },
    })
  } catch (err) {
    say({
      warning: 'The heartbeat did not reach the database; it is tried again',
      err: err instanceof Error ? err.message : String(err),
    })
  }
}
const loop = createLoop({ everyMs: beatMs, work: beat, log: silentLog() })
loop.start()

parentPort!.on('message', (message: ToThread) => {
  if ('stop' in message) void stop()
  else {
    busy = message.busy
    measured = message.measured
    if (message.kick) loop.kick()
  }
})

async function stop(): Promise<void> {
  await loop.stop()
  await db?.close()
  parentPort!.close()
}
