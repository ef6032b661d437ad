import path from 'node:path'
import { createCoordinator } from '@earshot/coordinator'
import { defineKind } from '@earshot/sdk'
import { loadConfig } from '@earshot/shared/config'
import { thisMachine } from '@earshot/shared/config/machine'
import { submitJobs } from '@earshot/db/functions/jobs'
import { silentLog } from '@earshot/shared/log'
import { createWorker, handle } from '@earshot/worker'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { databases, testDatabase } from '../helpers/database.ts'

const MANY = 20
const kindOf = (kind: string) =>
  defineKind({
    kind,
    role: 'scissors',
    payload: z.object({}),
    result: z.object({ by: z.string() }),
  })

test.each(databases)(
  'kinds of one role that different workers run each go to who has them, at the first attempt, on %s',
  async (database) => {
    await using held = await testDatabase(database)
    const { db } = held
    const settings = (node: string) =>
      loadConfig({
        flags: { home: path.join(held.home, node), 'node-id': node },
        cwd: held.home,
        machine: thisMachine(true),
        files: {},
        env: {
          ...(held.url !== undefined && { DATABASE_URL: held.url }),
          EARSHOT_PORT: '0',
          EARSHOT_INBOX: path.join(held.home, 'inbox'),
        },
      })
    const coordinator = createCoordinator({ db, config: settings('desk'), log: silentLog() })
    await coordinator.start()
    const workers = ['crop', 'turn'].map((kind) =>
      createWorker({
        db,
        config: settings(`${kind}per`),
        log: silentLog(),
        kinds: [handle(kindOf(kind), () => ({ by: kind }))],
      }),
    )
    try {
      for (const worker of workers) await worker.start()
      await submitJobs(
        db.pool,
        Array.from({ length: MANY }, (_, i) => ({
          kind: i % 2 === 0 ? 'crop' : 'turn',
          payload: {},
        })),
      )
      const ended = async () =>
        (
          await db.pool
            .query(`select kind, assigned_node as node, attempt, result ->> 'by' as by, count(*)::int as jobs
      from earshot.jobs where status = 'completed' group by 1, 2, 3, 4 order by 1`)
        ).rows
      await expect.poll(ended, { timeout: 60_000, interval: 20 }).toEqual([
        { kind: 'crop', node: 'cropper', attempt: 1, by: 'crop', jobs: MANY / 2 },
        { kind: 'turn', node: 'turnper', attempt: 1, by: 'turn', jobs: MANY / 2 },
      ])
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()))
      await coordinator.stop()
    }
  },
)
