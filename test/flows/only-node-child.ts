// Coordinator and worker in one process, as `earshot up` has them, with a kind that wedges or kills
// it.
import { writeSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCoordinator } from '@earshot/coordinator'
import { submitJobs } from '@earshot/db/functions/jobs'
import { migrate } from '@earshot/db/migrate'
import { openDatabase } from '@earshot/db/open'
import { defineKind } from '@earshot/sdk'
import { loadConfig } from '@earshot/shared/config'
import { thisMachine } from '@earshot/shared/config/machine'
import { silentLog } from '@earshot/shared/log'
import { createWorker, handle } from '@earshot/worker'
import { z } from 'zod'

const [home] = process.argv.slice(2) as [string]
/** Written at once: nothing is written later by a thread that is wedged. */
const say = (line: object) => writeSync(1, `${JSON.stringify(line)}\n`)

const config = loadConfig({
  flags: { home, 'node-id': 'here', slots: '2' },
  cwd: home,
  machine: thisMachine(true),
  files: {},
  env: { EARSHOT_PORT: '0', EARSHOT_INBOX: path.join(home, 'inbox') },
})
const kind = defineKind({
  kind: 'hurt',
  role: 'hands',
  payload: z.object({ how: z.enum(['wedge', 'kill', 'nothing']) }),
  result: z.object({}),
})
const hurt = handle(kind, async ({ how }) => {
  say({ began: how })
  if (how === 'wedge') for (;;);
  if (how === 'kill') process.kill(process.pid, 'SIGKILL')
  await sleep(2000)
  return {}
})

const db = await openDatabase(config.database)
await migrate(db)
const worker = createWorker({ db, config, log: silentLog(), kinds: [hurt] })
const coordinator = createCoordinator({ db, config, log: silentLog() })
await coordinator.start()
await worker.start()
// The same three at each start.
await submitJobs(
  db.pool,
  (['nothing', 'wedge', 'kill'] as const).map((how) => ({
    kind: 'hurt',
    payload: { how },
    idempotency_key: how,
  })),
)
for (;;) {
  const { rows } = await db.pool.query(
    `select payload ->> 'how' as how, status, error_code, error from earshot.jobs order by id`,
  )
  if (rows.every((row) => ['completed', 'failed'].includes(row.status))) {
    say({ ended: rows })
    break
  }
  await sleep(100)
}
await worker.stop()
await coordinator.stop()
await db.close()
