import path from 'node:path'
import { createCoordinator } from '@earshot/coordinator'
import { defineKind } from '@earshot/sdk'
import { loadConfig } from '@earshot/shared/config'
import { thisMachine } from '@earshot/shared/config/machine'
import { submitJobs } from '@earshot/db/functions/jobs'
import { silentLog } from '@earshot/shared/log'
import { createWorker, handle } from '@earshot/worker'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { databases, testDatabase } from '../helpers/database.ts'
import { jobRow } from '../sql/fixture.ts'

const SILENCE_S = 0.4
const LOUD_MS = 100

describe.each(databases)(
  'a handler that makes no progress for longer than its kind may, on %s',
  (database) => {
    test('loses its job and keeps its slot; one that says how far it is may take as long as it likes', async () => {
      await using held = await testDatabase(database)
      const { db } = held
      const config = loadConfig({
        flags: { home: held.home, 'node-id': 'here', slots: '2' },
        cwd: held.home,
        machine: thisMachine(true),
        files: {},
        env: {
          ...(held.url === undefined ? {} : { DATABASE_URL: held.url }),
          EARSHOT_PORT: '0',
          EARSHOT_INBOX: path.join(held.home, 'inbox'),
        },
      })
      const work = defineKind({
        kind: 'work',
        role: 'hands',
        payload: z.object({ hangs: z.boolean() }),
        result: z.object({ attempt: z.number() }),
        silence: SILENCE_S,
      })
      const freed = Promise.withResolvers<{ attempt: number }>()
      let stopped = 0
      const handler = handle(work, async ({ hangs }, { job, progress, signal }) => {
        if (hangs && job.attempt === 1) {
          signal.addEventListener('abort', () => {
            stopped += 1
          })
          return freed.promise
        }
        for (let i = 0; i < 10; i += 1) {
          await new Promise((resolve) => setTimeout(resolve, LOUD_MS))
          progress(i / 10)
        }
        return { attempt: job.attempt }
      })
      const coordinator = createCoordinator({ db, config, log: silentLog() })
      const worker = createWorker({ db, config, log: silentLog(), kinds: [handler] })
      await coordinator.start()
      await worker.start()
      try {
        const [hanging, loud] = (
          await submitJobs(db.pool, [
            { kind: 'work', payload: { hangs: true } },
            { kind: 'work', payload: { hangs: false } },
          ])
        ).map(({ id }) => id)
        await expect
          .poll(async () => (await jobRow(db, hanging!)).error_code, { timeout: 20_000 })
          .toBe('EARSHOT_SILENT')
        expect(await jobRow(db, hanging!)).toMatchObject({ status: 'pending', tries: 1 })
        expect(stopped).toBe(1)
        await expect
          .poll(async () => (await db.pool.query('select busy from earshot.nodes')).rows[0].busy, {
            timeout: 20_000,
          })
          .toEqual({ hands: 1 })
        await expect
          .poll(async () => (await jobRow(db, loud!)).status, { timeout: 20_000 })
          .toBe('completed')
        expect(await jobRow(db, loud!)).toMatchObject({ tries: 0 })
        // The slot that is left runs it after its rest; what the hanging handler says after that
        // changes nothing.
        await expect
          .poll(async () => (await jobRow(db, hanging!)).status, { timeout: 30_000 })
          .toBe('completed')
        freed.resolve({ attempt: 1 })
        await expect
          .poll(async () => (await db.pool.query('select busy from earshot.nodes')).rows[0].busy, {
            timeout: 20_000,
          })
          .toEqual({})
        expect(await jobRow(db, hanging!)).toMatchObject({ attempt: 2, result: { attempt: 2 } })
      } finally {
        await worker.stop()
        await coordinator.stop()
      }
    }, 90_000)
  },
)
