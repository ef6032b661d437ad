import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, clientOf, earshot, eventOf, startProcess } from '../helpers/mesh.ts'
import { SENTENCES, speakApart } from '../helpers/speech.ts'

describe.runIf(databases.includes('postgres'))(
  'interactive work before batch, with real processes',
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
    const start = async (id: string, slots: string, roles = 'tts,rag_engine,stt_batch') => {
      mesh.push(
        await startProcess(
          'worker',
          { ...base, NODE_ID: id, EARSHOT_HOME: path.join(database.home, id) },
          { flags: ['--slots', slots, '--roles', roles] },
        ),
      )
    }
    const client = () => clientOf(mesh[0]!)
    const sql = async <Row>(text: string, values: unknown[] = []): Promise<Row[]> =>
      (await database.db.pool.query(text, values)).rows
    const ended = (id: number) =>
      eventOf(
        client(),
        `job ${id} completed`,
        (event) => event.type === 'job.completed' && event.job_id === id,
      )
    const speak = (count: number, more: object) =>
      client().enqueueMany(
        Array.from({ length: count }, (_, i) => ({
          kind: 'speak' as const,
          payload: { text: `number ${i}` },
          ...more,
        })),
      )

    test('an interactive job overtakes two hundred queued batch jobs', async () => {
      await start('box', 'tts=1', 'tts')
      const queued = await speak(200, { class: 'batch', priority: 100 })
      await ended(queued[2]!.id)
      const somebody = await client().enqueue(
        'speak',
        { text: 'somebody waits' },
        { priority: -100 },
      )
      await ended(somebody.id)
      // Those that were in the node's hands by then, and no others, may have gone before it.
      const [between] = await sql<{ count: number }>(
        `select count(*)::int as count from earshot.jobs b, earshot.jobs i
      where i.id = $1 and b.class = 'batch' and b.finished_at > i.created_at and b.finished_at <= i.finished_at`,
        [somebody.id],
      )
      expect(between!.count).toBeLessThanOrEqual(5)
      expect((await client().jobs({ status: 'pending', limit: 1000 })).length).toBeGreaterThan(150)
      expect(await client().get(somebody.id)).toMatchObject({
        class: 'interactive',
        tries: 0,
        attempt: 1,
      })
      await client().cancel({ kind: 'speak', status: ['pending', 'assigned'] })
    })

    test('batch work that has waited too long gets its turn while interactive work goes on', async () => {
      await sql(`update earshot.settings set batch_patience = '0'`)
      await start('box', 'tts=1', 'tts')
      const [old] = await speak(1, {
        class: 'batch',
        run_at: new Date(Date.now() - 60_000).toISOString(),
      })
      await ended(old!.id)
      const batch = await speak(2, { class: 'batch' })
      const interactive = await speak(40, {})
      for (const { id } of batch) await ended(id)
      expect(
        (await client().jobs({ ids: interactive.map(({ id }) => id), limit: 1000 })).some(
          ({ status }) => status !== 'completed',
        ),
      ).toBe(true)
      await client().cancel({ ids: interactive.map(({ id }) => id) })
    })

    test('transcriptions leave a slot free, in which one that somebody waits for starts at once', async () => {
      await start('box', 'stt_batch=2,rag_engine=2')
      const files = []
      for (let i = 0; i < 3; i++)
        files.push(
          await speakApart(
            database.home,
            `long-${i}.wav`,
            Array.from({ length: 4 }, () => SENTENCES[i]!.text),
            0.5 + i / 10,
          ),
        )
      expect(
        (await earshot(['add', ...files.slice(0, 2)], { EARSHOT_URL: mesh[0]!.announced.url! }))
          .code,
      ).toBe(0)
      await eventOf(client(), 'a transcription started', ({ type }) => type === 'job.started')
      const open = async () =>
        (await client().jobs({ kind: 'transcribe' }))
          .toSorted((a, b) => a.id - b.id)
          .map(({ status }) => status)
      expect(await open()).toEqual(['running', 'pending'])
      const added = await earshot(['add', '--interactive', files[2]!, '--json'], {
        EARSHOT_URL: mesh[0]!.announced.url!,
      })
      const { job, document } = JSON.parse(added.stdout).documents[0]
      await eventOf(
        client(),
        'the interactive one started',
        (event) => event.type === 'job.started' && event.job_id === job,
      )
      expect((await open())[1]).toBe('pending')
      expect(await client().get(job)).toMatchObject({ class: 'interactive' })
      await eventOf(
        client(),
        'it can be found',
        (event) => event.type === 'document.ready' && event.document_id === document,
      )
      // Who waits for the words waits for finding them.
      expect((await client().jobs({ kind: 'embed' })).map((one) => one.class)).toContain(
        'interactive',
      )
    })

    describe('what waits on a node', () => {
      /**
       * One node with one slot: a long job starts there, and short ones, of a kind that was
       * measured as short, wait behind it.
       */
      async function crowd(): Promise<{ long: number; short: number[] }> {
        await start('box-1', 'tts=1,rag_engine=1,*=1')
        const [document] = await sql<{ id: number }>(
          `insert into earshot.documents (corpus_id, title, kind, status) select id, 'empty', 'text', 'processing' from earshot.corpora returning id`,
        )
        const embed = {
          kind: 'embed' as const,
          payload: { document_id: Number(document!.id) },
          priority: 0,
        }
        for (const { id } of await client().enqueueMany(Array.from({ length: 20 }, () => embed)))
          await ended(id)
        await expect
          .poll(
            async () =>
              (
                await sql<{ speed: number }>(
                  `select (speeds ->> 'embed')::float8 as speed from earshot.nodes`,
                )
              )[0]!.speed,
            { timeout: 10_000 },
          )
          .toBeGreaterThan(10)
        const words = Array.from({ length: 400 }, () => SENTENCES[0].text).join('. ')
        const [long, ...short] = await client().enqueueMany([
          { kind: 'speak', payload: { text: words } },
          ...Array.from({ length: 200 }, () => embed),
        ])
        await eventOf(
          client(),
          'the long one started',
          (event) => event.type === 'job.started' && event.job_id === long!.id,
        )
        return { long: long!.id, short: short.map(({ id }) => id) }
      }
      const waiting = async () =>
        (
          await sql<{ id: number }>(
            `select id from earshot.jobs where status = 'assigned' and assigned_node = 'box-1' order by id`,
          )
        ).map(({ id }) => Number(id))
      const completions = async (ids: number[]) =>
        sql<{ node: string; count: number }>(
          `select node, count(*)::int as count from earshot.job_events where type = 'job.completed' and job_id = any ($1) group by 1`,
          [ids],
        )

      test('goes to a second node that joins, unstarted, uncharged, and each once', async () => {
        const { long, short } = await crowd()
        const recalled = await waiting()
        expect(recalled.length).toBeGreaterThan(0)
        await start('box-2', 'rag_engine=1', 'rag_engine')
        await ended(long)
        const [late] = await sql<{ count: number }>(
          `select count(*)::int as count from earshot.jobs s, earshot.jobs l
        where l.id = $1 and s.id = any ($2) and (s.finished_at is null or s.finished_at > l.finished_at)`,
          [long, short],
        )
        expect(late).toEqual({ count: 0 })
        expect(await completions(short)).toEqual([{ node: 'box-2', count: short.length }])
        const back = await sql<{ job_id: number; cause: string }>(
          `select job_id, data ->> 'cause' as cause from earshot.job_events where type = 'job.requeued' order by job_id`,
        )
        expect(back.map((event) => Number(event.job_id))).toEqual(expect.arrayContaining(recalled))
        expect(new Set(back.map(({ cause }) => cause))).toEqual(new Set(['handed_back']))
        expect(
          await sql(
            'select max(tries)::int as tries, max(deaths)::int as deaths from earshot.jobs',
          ),
        ).toEqual([{ tries: 0, deaths: 0 }])
      })

      test('is dropped when cancelled, and goes back when the node is drained or stops', async () => {
        const { long } = await crowd()
        const [first, ...rest] = await waiting()
        expect(await client().cancel([first!])).toEqual({ cancelled: [first] })
        await client().drainNode('box-1')
        await expect.poll(waiting, { timeout: 10_000 }).toEqual([])
        expect(
          (await client().jobs({ ids: rest, limit: 1000 })).every(
            ({ status, tries }) => status === 'pending' && tries === 0,
          ),
        ).toBe(true)
        expect((await client().get(first!)).status).toBe('cancelled')
        await ended(long)
        await client().resumeNode('box-1')
        for (const id of rest) await ended(id)
      })
    })
  },
)
