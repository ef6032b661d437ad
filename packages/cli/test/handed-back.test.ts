import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PROTOCOL } from '@earshot/contract'
import { type Assignment, handBackJobs, takeAssignments } from '@earshot/db/functions/jobs'
import { heartbeat, registerNode } from '@earshot/db/functions/nodes'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../../../test/helpers/database.ts'
import { clientOf, earshot, startProcess } from '../../../test/helpers/mesh.ts'

const ATTEMPTS = 3

describe.runIf(databases.includes('postgres'))('a job that nodes hand back', () => {
  test('again and again: `say` tells why while it waits', async () => {
    await using database = await testDatabase('postgres')
    const { pool } = database.db
    const settings = {
      EARSHOT_HOME: path.join(database.home, 'desk'),
      EARSHOT_INBOX: path.join(database.home, 'inbox'),
      EARSHOT_PORT: '0',
      DATABASE_URL: database.url!,
    }
    const desk = await startProcess('coordinator', settings)
    try {
      const incarnation = await registerNode(
        pool,
        {
          ...{ id: 'box', name: 'box', host: null, port: null, version: '0', protocol: PROTOCOL },
          ...{ roles: ['tts'], tags: {}, capabilities: {}, slots: { tts: 1 } },
        },
        'token',
      )
      const client = clientOf(desk)
      const said = earshot(['say', 'Good morning.', '-o', path.join(database.home, 'out.wav')], {
        ...settings,
        EARSHOT_URL: desk.announced.url!,
      })
      const take = async (): Promise<Assignment> => {
        for (;;) {
          await heartbeat(pool, 'box', incarnation, {}, {}, 'token')
          const [job] = await takeAssignments(pool, 'box', incarnation, [], 'token')
          if (job !== undefined) return job
          await sleep(100)
        }
      }
      let job = await take()
      const told = Promise.withResolvers<[string, number]>()
      const waited = client.wait(job.id, { onTrouble: (...trouble) => told.resolve(trouble) })
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        await handBackJobs(
          pool,
          'box',
          incarnation,
          [job],
          { sentence: 'The way is shut.' },
          'token',
        )
        if (attempt < ATTEMPTS) job = await take()
      }
      const last = await take()
      expect(await told.promise).toEqual([
        'The way is shut.',
        expect.toSatisfy((n) => n >= ATTEMPTS),
      ])
      // The command began to wait before this test did, and looks as often.
      await handBackJobs(
        pool,
        'box',
        incarnation,
        [last],
        { sentence: 'The way is shut.' },
        'token',
      )
      await client.wait(job.id, { timeout_s: 6 }).catch(() => undefined)
      await client.cancel(job.id)
      expect((await waited).status).toBe('cancelled')
      const { stderr } = await said
      expect(stderr).toMatch(/Still waiting after \d attempts\. The last one: The way is shut\./)
      expect(stderr.match(/Still waiting/g)).toHaveLength(1)
    } finally {
      await desk.stop()
    }
  })
})
