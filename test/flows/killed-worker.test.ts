import { copyFile, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, clientOf, earshot, eventOf, startProcess } from '../helpers/mesh.ts'
import { SENTENCES, speakApart } from '../helpers/speech.ts'

describe.runIf(databases.includes('postgres'))(
  'workers that die, on a real server with real processes',
  () => {
    let database: TestDatabase
    let mesh: MeshProcess[]
    let base: Record<string, string>

    beforeEach(async () => {
      database = await testDatabase('postgres')
      base = {
        EARSHOT_HOME: path.join(database.home, 'home'),
        EARSHOT_INBOX: path.join(database.home, 'inbox'),
        EARSHOT_PORT: '0',
        DATABASE_URL: database.url!,
      }
      mesh = [await startProcess('coordinator', { ...base, NODE_ID: 'desk' })]
    })
    afterEach(async () => {
      for (const one of mesh.toReversed()) await one.stop('SIGKILL')
      await database[Symbol.asyncDispose]()
    })
    const start = async (id: string) => {
      const worker = await startProcess('worker', {
        ...base,
        NODE_ID: id,
        EARSHOT_HOME: path.join(database.home, id),
      })
      mesh.push(worker)
      return worker
    }
    const client = () => clientOf(mesh[0]!)
    const started = (node?: string) =>
      eventOf(
        client(),
        'a transcription started',
        (event) => event.type === 'job.started' && (node === undefined || event.node === node),
      )
    const drop = async (count: number, repeat: number) => {
      await mkdir(base.EARSHOT_INBOX!, { recursive: true })
      for (let i = 0; i < count; i++) {
        const texts = Array.from({ length: repeat }, () => SENTENCES[i % SENTENCES.length]!.text)
        // A number of seconds of its own makes each file another content.
        const made = await speakApart(database.home, `long-${i}.wav`, texts, 0.5 + i / 10)
        await copyFile(made, path.join(base.EARSHOT_INBOX!, `long-${i}.wav`))
      }
    }
    const allReady = (count: number) =>
      expect
        .poll(async () => (await client().documents({ status: 'ready' })).length, {
          timeout: 120_000,
          interval: 300,
        })
        .toBe(count)
    const counts = async () =>
      (
        await database.db.pool.query(`
    select (select count(*)::int from earshot.documents) as documents,
      (select count(*)::int from earshot.jobs where status not in ('completed')) as open,
      (select coalesce(max(tries), 0)::int from earshot.jobs) as tries,
      (select count(*)::int from (select document_id, ordinal from earshot.segments group by 1, 2 having count(*) > 1) d) as doubled`)
      ).rows[0]

    test('one killed with -9 and started again under its own name leaves nothing stuck and nothing doubled', async () => {
      const first = await start('box-1')
      await drop(3, 4)
      await started()
      await first.stop('SIGKILL')
      const again = Date.now()
      await start('box-1')
      await eventOf(
        client(),
        'a job that went back',
        (event) => event.type === 'job.requeued' && event.data?.cause === 'restart',
      )
      await allReady(3)
      // At once, not after the lease of 15 s: had it waited for that, the documents would have come
      // later than this.
      const { rows } = await database.db.pool.query(
        `select min(at) as back from earshot.events where type = 'job.requeued'`,
      )
      expect(rows[0].back.getTime() - again).toBeLessThan(15_000)
      expect(await counts()).toEqual({ documents: 3, open: 0, tries: 0, doubled: 0 })
    })

    test('the jobs of one that never comes back go to another once its lease is over, charged to nobody', async () => {
      await database.db.pool.query(
        `update earshot.settings set lease = interval '3 seconds', routable = interval '3 seconds'`,
      )
      const first = await start('box-1')
      await drop(2, 4)
      await started('box-1')
      await first.stop('SIGKILL')
      await start('box-2')
      await allReady(2)
      expect(await counts()).toEqual({ documents: 2, open: 0, tries: 0, doubled: 0 })
      const documents = await client().documents()
      expect(documents.every((document) => document.node === 'box-2')).toBe(true)
      const nodes = await client().nodes()
      expect(nodes.find((node) => node.id === 'box-1')?.status).toBe('degraded')
    })

    test('one frozen beyond its lease that wakes up again changes nothing of what another has done since', async () => {
      await database.db.pool.query(
        `update earshot.settings set lease = interval '3 seconds', routable = interval '3 seconds'`,
      )
      const frozen = await start('box-1')
      await drop(1, 8)
      await started('box-1')
      frozen.child.kill('SIGSTOP')
      await start('box-2')
      await allReady(1)
      const before = await database.db.pool.query(
        'select document_id, ordinal, text from earshot.segments order by 1, 2',
      )
      frozen.child.kill('SIGCONT')
      await eventOf(
        client(),
        'box-1 is back',
        (event) =>
          event.type === 'node.online' &&
          event.node === 'box-1' &&
          event.data?.after === 'degraded',
      )
      expect(
        (
          await database.db.pool.query(
            'select document_id, ordinal, text from earshot.segments order by 1, 2',
          )
        ).rows,
      ).toEqual(before.rows)
      expect(await counts()).toEqual({ documents: 1, open: 0, tries: 0, doubled: 0 })
      expect(await frozen.stop()).toBe(0)
    })

    test('of two live processes with one id the newer works and the older stops with a sentence', async () => {
      const older = await start('box-1')
      await start('box-1')
      await expect.poll(() => older.child.exitCode, { timeout: 20_000 }).not.toBeNull()
      expect(older.child.exitCode).toBe(1)
      expect(older.log()).toContain('Another process took over as node box-1.')
    })

    test('the first signal lets work in hand finish, the second hands it back at once, uncharged', async () => {
      const worker = await start('box-1')
      await drop(1, 30)
      await started()
      worker.child.kill('SIGINT')
      await expect
        .poll(async () => (await client().nodes())[0]?.reason, { timeout: 10_000 })
        .toContain('stopping')
      expect(worker.child.exitCode).toBeNull()
      expect(await worker.stop('SIGINT')).toBe(0)
      const [job] = await client().jobs({ kind: 'transcribe' })
      expect(job).toMatchObject({ status: 'pending', tries: 0, assigned_node: null })
      expect((await client().nodes())[0]).toMatchObject({ status: 'offline' })
    })

    test('a worker without a server refuses in one sentence', async () => {
      const home = { EARSHOT_HOME: base.EARSHOT_HOME! }
      for (const command of ['worker', 'coordinator']) {
        const { code, stderr } = await earshot([command], home, { cwd: database.home })
        expect(code).toBe(2)
        expect(stderr).toContain('needs DATABASE_URL')
        expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(2)
      }
    })
  },
)
