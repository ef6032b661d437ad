import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, clientOf, earshot, eventOf, startProcess } from '../helpers/mesh.ts'
import { SENTENCES, speakApart, speakFile } from '../helpers/speech.ts'

/**
 * The whole mesh on one machine: one process on the embedded database, a coordinator and two
 * workers on a server.
 */
describe.each(databases)('a recording dropped into the inbox, on %s', (kind) => {
  let database: TestDatabase
  let mesh: MeshProcess[]
  let inbox: string
  let settings: Record<string, string>

  beforeAll(async () => {
    database = await testDatabase(kind)
    const base = {
      EARSHOT_HOME: path.join(database.home, 'home'),
      EARSHOT_INBOX: path.join(database.home, 'in box'),
      EARSHOT_PORT: '0',
    }
    inbox = base.EARSHOT_INBOX
    if (kind === 'embedded') {
      await database.db.close()
      mesh = [await startProcess('up', base)]
    } else {
      const server = { ...base, DATABASE_URL: database.url! }
      mesh = [await startProcess('coordinator', { ...server, NODE_ID: 'desk' })]
      mesh.push(
        ...(await Promise.all(
          ['box-1', 'box-2'].map((id) => startProcess('worker', { ...server, NODE_ID: id })),
        )),
      )
    }
    settings = { EARSHOT_URL: mesh[0]!.announced.url!, EARSHOT_HOME: base.EARSHOT_HOME }
  })
  afterAll(async () => {
    for (const one of mesh?.toReversed() ?? []) expect(await one.stop()).toBe(0)
    await database?.[Symbol.asyncDispose]()
  })
  const client = () => clientOf(mesh[0]!)
  const ready = (count: number) => {
    const seen = new Set<number>()
    return eventOf(
      client(),
      `${count} documents ready`,
      (event) => {
        if (event.type === 'document.ready') seen.add(event.document_id!)
        return seen.size >= count
      },
      120,
    )
  }

  test('is heard, and found by its words at the second at which they were said', async () => {
    const scratch = path.join(database.home, 'scratch')
    await mkdir(scratch)
    const file = await speakApart(
      scratch,
      'talk.wav',
      SENTENCES.slice(0, 3).map((sentence) => sentence.text),
      4,
    )
    await mkdir(path.join(inbox, 'talks'), { recursive: true })
    await copyFile(file, path.join(inbox, 'talks', 'monday 😀 $(talk) "one".wav'))
    await ready(1)

    const { hits } = JSON.parse(
      (await earshot(['search', 'money', 'hospital', '--json'], settings)).stdout,
    )
    expect(hits[0]).toMatchObject({ title: 'talks/monday 😀 $(talk) "one".wav' })
    expect(hits[0].text).toContain('hospital')
    // 4 s of silence, the first sentence, 4 s of silence again: the words of the second sentence
    // come after 10 s.
    const first = await client().segments(hits[0].document)
    const words = first.flatMap((segment) => segment.words)
    const money = words.find((word) => word.text === 'money' || word.text === 'hospital')!
    expect(hits[0].start_s).toBeCloseTo(money.start_s, 1)
    expect(hits[0].start_s).toBeGreaterThan(9)
    expect(hits[0].start_s).toBeLessThan(15)
    expect(hits[0].node).toMatch(kind === 'embedded' ? mesh[0]!.announced.node! : /^box-[12]$/)
  })

  test('is not found by a word that nobody said', async () => {
    expect(JSON.parse((await earshot(['search', 'xylophone', '--json'], settings)).stdout)).toEqual(
      { hits: [] },
    )
  })

  test('is one document when it is dropped a second time under another name, and a text file becomes one too', async () => {
    const again = path.join(inbox, 'copy.wav')
    await copyFile(path.join(database.home, 'scratch', 'talk.wav'), again)
    await writeFile(
      path.join(inbox, 'notes.txt'),
      'The lighthouse keeper wrote about marmalade.\n\nThen he slept.',
    )
    await ready(2)
    const { hits } = await client().search('marmalade')
    expect(hits).toMatchObject([{ title: 'notes.txt', start_s: null }])
    const documents = await client().documents()
    expect(documents.filter((document) => document.kind === 'audio')).toHaveLength(1)
  })

  test('many at once are each heard once, with their own words in their own document', async () => {
    await Promise.all(
      SENTENCES.map((sentence, i) =>
        speakFile(path.join(database.home, 'scratch', `many-${i}.wav`), sentence.text),
      ),
    )
    await Promise.all(
      SENTENCES.map((_, i) =>
        copyFile(
          path.join(database.home, 'scratch', `many-${i}.wav`),
          path.join(inbox, `many-${i}.wav`),
        ),
      ),
    )
    await ready(2 + SENTENCES.length)
    const documents = await client().documents({ limit: 100 })
    for (const [i, { words }] of SENTENCES.entries()) {
      const own = documents.filter((document) => document.title === `many-${i}.wav`)
      expect(own).toHaveLength(1)
      const text = await client().transcript(own[0]!.id, 'txt')
      for (const word of words) expect(text).toContain(word)
    }
  })

  test('can be sent by hand too, and its transcript is printed, also as subtitles', async () => {
    const file = await speakFile(
      path.join(database.home, 'scratch', 'by hand.wav'),
      'the doctor wrote a letter to the president',
    )
    const added = await earshot(['add', file, '--wait'], settings)
    expect(added).toMatchObject({ code: 0, stdout: expect.stringContaining('president') })
    const [document] = await client().documents({ limit: 1 })
    const subtitles = await earshot(
      ['transcript', String(document!.id), '--format', 'srt'],
      settings,
    )
    expect(subtitles.stdout).toMatch(/^1\n00:00:00,\d{3} --> 00:00:0\d,\d{3}\n.*president/m)
  })

  test('can be made by the mesh itself: what it says, it hears', async () => {
    const out = path.join(inbox, 'said.wav')
    const said = await earshot(
      ['say', 'the captain saw another island in the distance', '-o', out],
      settings,
    )
    expect(said).toMatchObject({ code: 0, stdout: expect.stringContaining('said.wav') })
    await eventOf(client(), 'said.wav ready', () => true)
    await expect
      .poll(async () => (await client().search('captain island')).hits[0]?.title, {
        timeout: 60_000,
        interval: 200,
      })
      .toBe('said.wav')
  })
})
