import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { type Meanings, createMeanings } from '../helpers/meanings.ts'
import { type MeshProcess, clientOf, earshot, startProcess } from '../helpers/mesh.ts'

const MODEL = 'nomic-embed-text'
const TEXTS = {
  'harbour.txt': 'The ship left the harbour at dawn.',
  'kitchen.txt': 'Bread is baked in the oven.',
  'weather.txt': 'After the rain the doctor wrote a letter.',
}

/**
 * One process on the embedded database with Ollama; a coordinator, a box without a model and one
 * with a server of OpenAI's protocol on a server.
 */
describe.each(databases)('what documents mean, on %s', (kind) => {
  let database: TestDatabase
  let server: Meanings
  let base: Record<string, string>
  let main: MeshProcess
  let brain: MeshProcess | undefined
  let plain: MeshProcess | undefined
  const embedded = kind === 'embedded'
  const away = 'http://127.0.0.1:9'

  const startMain = async (model = MODEL) => {
    main = await startProcess(embedded ? 'up' : 'coordinator', {
      ...base,
      OLLAMA_HOST: embedded ? server.url : away,
      EARSHOT_EMBED_MODEL: model,
    })
  }
  const box = (id: string, more: Record<string, string> = {}) =>
    startProcess(
      'worker',
      {
        ...base,
        NODE_ID: id,
        EARSHOT_HOME: path.join(database.home, id),
        OLLAMA_HOST: away,
        ...more,
      },
      { flags: ['--roles', 'rag_engine'] },
    )
  const restart = async (model?: string) => {
    expect(await main.stop()).toBe(0)
    await startMain(model)
  }

  beforeAll(async () => {
    database = await testDatabase(kind)
    server = await createMeanings(MODEL)
    if (embedded) await database.db.close()
    base = {
      EARSHOT_HOME: path.join(database.home, 'home'),
      EARSHOT_INBOX: path.join(database.home, 'inbox'),
      EARSHOT_PORT: '0',
      NODE_ID: 'desk',
      ...(embedded ? {} : { DATABASE_URL: database.url! }),
    }
    await mkdir(base.EARSHOT_INBOX!, { recursive: true })
    await patience(120)
    await startMain('lexical-384')
    if (!embedded)
      [plain, brain] = await Promise.all([
        box('plain'),
        box('brain', { EARSHOT_OPENAI_URLS: `${server.url}/v1` }),
      ])
  }, 180_000)
  afterAll(async () => {
    for (const one of [brain, plain, main]) await one?.stop()
    await server?.[Symbol.asyncDispose]()
    await database?.[Symbol.asyncDispose]()
  })

  /**
   * How long a search waits for its query's vector, from the next start on: but in the test of it
   * long enough for a slow machine.
   */
  async function patience(seconds: number): Promise<void> {
    await mkdir(base.EARSHOT_HOME!, { recursive: true })
    await writeFile(
      path.join(base.EARSHOT_HOME!, 'config.yaml'),
      `embed: { model: ${MODEL}, floor: 0.5, wait_s: ${seconds} }\n`,
    )
  }
  const search = (query: string) => clientOf(main).search(query)
  const titles = async (query: string) => (await search(query)).hits.map(({ title }) => title)
  const drop = async (title: string, text: string) => {
    await writeFile(path.join(base.EARSHOT_INBOX!, title), text)
    await expect
      .poll(
        async () =>
          (await clientOf(main).documents({ limit: 100 }))
            .filter((one) => one.status === 'ready')
            .map((one) => one.title),
        { timeout: 120_000, interval: 100 },
      )
      .toContain(title)
  }
  /** Searches again until the vectors that are to be found are there. */
  const becomes = (query: string) =>
    expect.poll(() => titles(query), { timeout: 120_000, interval: 200 })
  const embeddedDocuments = () =>
    server.texts.filter((text) => text.startsWith('search_document: '))

  test('without a model words alone count, and nobody is asked for vectors', async () => {
    for (const [title, text] of Object.entries(TEXTS)) await drop(title, text)
    expect(await titles('ship')).toEqual(['harbour.txt'])
    expect(await search('vessel')).toEqual({ hits: [] })
    expect(server.texts).toEqual([])
  })

  test('once the settings name one, documents that are there already are found by words that they do not hold', async () => {
    await restart()
    expect(await search('ship')).toMatchObject({ hits: [{ title: 'harbour.txt' }] })
    await becomes('vessel in a port').toEqual(['harbour.txt'])
    await becomes('loaf from a furnace').toEqual(['kitchen.txt'])
    expect(await search('vessel')).toMatchObject({
      model: MODEL,
      hits: [{ title: 'harbour.txt', start_s: null }],
    })
    await expect
      .poll(() => embeddedDocuments().toSorted())
      .toEqual(
        Object.values(TEXTS)
          .map((text) => `search_document: ${text}`)
          .toSorted(),
      )
  })

  test('what holds all words comes first, and what means nothing near is not found', async () => {
    await drop('log.txt', 'Vessel traffic is listed here.')
    await becomes('vessel').toEqual(['log.txt', 'harbour.txt'])
    expect(await search('xylophone')).toEqual({ hits: [], model: MODEL })
  })

  test('the same query asks the model once', async () => {
    await Promise.all([search('monarch'), search('monarch')])
    await search('monarch')
    expect(server.texts.filter((text) => text === 'search_query: monarch')).toHaveLength(1)
  })

  test('a text that is longer than the model can hold is embedded by its halves', async () => {
    await drop('long.txt', `${'Zzyzx '.repeat(30)}${'abcdefghij'.repeat(250)} the king`)
    await becomes('monarch').toContain('long.txt')
    expect(embeddedDocuments().every((text) => text.length <= 2_000)).toBe(true)
  })

  test('a model that is slow to answer costs a search its patience and no more, and answers the next one', async () => {
    await patience(1)
    await restart()
    const released = Promise.withResolvers<void>()
    server.before = () => released.promise
    const answer = await search('physician ship')
    expect(answer).toEqual({
      hits: [expect.objectContaining({ title: 'harbour.txt' })],
      note: expect.stringMatching(/did not answer within 1 s\. This search went by words alone\./),
    })
    released.resolve()
    server.before = () => {}
    await becomes('physician ship').toContain('weather.txt')
  })

  test.skipIf(embedded)('a box that is killed while it embeds leaves nothing twice', async () => {
    const released = Promise.withResolvers<void>()
    server.before = () => released.promise
    await drop('feast.txt', 'The monarch had a loaf.')
    await expect
      .poll(embeddedDocuments, { timeout: 120_000 })
      .toContain('search_document: The monarch had a loaf.')
    await brain!.stop('SIGKILL')
    server.before = () => {}
    brain = await box('brain', { EARSHOT_OPENAI_URLS: `${server.url}/v1` })
    released.resolve()
    await becomes('ruler and bun').toContain('feast.txt')
    const { rows } = await database.db.pool
      .query(`select count(*)::int as chunks, count(v.chunk_id)::int as vectors, count(distinct c.id)::int as embedded
      from earshot.chunks c left join earshot.chunk_vectors v on v.chunk_id = c.id`)
    expect(rows[0]).toEqual({
      chunks: rows[0].embedded,
      vectors: rows[0].embedded,
      embedded: rows[0].embedded,
    })
  })

  test('where no node answers, words count and the answer says why', async () => {
    if (embedded) server.routes['POST /api/embed'] = (_, response) => void response.destroy()
    else expect(await brain!.stop()).toBe(0)
    const settings = { EARSHOT_URL: main.announced.url!, EARSHOT_HOME: base.EARSHOT_HOME! }
    const { stdout, stderr, code } = await earshot(
      ['search', 'bread', 'drizzle', '--json'],
      settings,
    )
    expect({ code, ...JSON.parse(stdout) }).toEqual({
      code: 0,
      hits: [expect.objectContaining({ title: 'kitchen.txt' })],
      note: expect.stringContaining('This search went by words alone.'),
    })
    expect(stderr).toBe('')
    expect((await earshot(['search', 'bread', 'downpour'], settings)).stderr).toContain(
      'by words alone',
    )
  })

  test('lexical-384 takes it all back', async () => {
    await restart('lexical-384')
    await expect
      .poll(() => search('vessel port'), { timeout: 60_000 })
      .toEqual({ hits: [expect.objectContaining({ title: 'log.txt' })] })
  })
})
