import { randomBytes } from 'node:crypto'
import { mkdir, rename } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TwoBoxes, twoBoxes } from '../helpers/boxes.ts'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, type Ran, earshot, startProcess } from '../helpers/mesh.ts'
import { SENTENCES, speakFile } from '../helpers/speech.ts'

const KEY = 'a-long-random-key-of-the-tests'

describe.runIf(databases.includes('postgres'))('two boxes with addresses of their own', () => {
  let database: TestDatabase
  let network: TwoBoxes
  let mesh: MeshProcess[] = []
  let url: string
  const user = `earshot_box_${randomBytes(4).toString('hex')}`
  const homes = (name: string) => path.join(database.home, name)
  const onDesk = (args: string[], settings: Record<string, string> = {}): Promise<Ran> =>
    earshot(
      args,
      { EARSHOT_HOME: homes('desk'), EARSHOT_URL: url, EARSHOT_KEY: KEY, ...settings },
      { box: network.boxes[0]!.box },
    )

  beforeAll(async () => {
    database = await testDatabase('postgres')
    network = await twoBoxes(database.url!)
    const [desk, attic] = network.boxes
    const DATABASE_URL = network.database(database.url!)
    mesh.push(
      await startProcess(
        'coordinator',
        {
          DATABASE_URL,
          EARSHOT_KEY: KEY,
          NODE_ID: 'desk',
          EARSHOT_HOME: homes('desk'),
          EARSHOT_INBOX: homes('inbox'),
          EARSHOT_PORT: '0',
          EARSHOT_HOST: desk!.address,
        },
        { box: desk!.box },
      ),
    )
    url = mesh[0]!.announced.url!
    // The worker's database user may call the worker's functions and read no table.
    const password = randomBytes(8).toString('hex')
    await database.db.pool.query(
      `create user ${user} password '${password}' in role earshot_worker`,
    )
    const asWorker = Object.assign(new URL(DATABASE_URL), { username: user, password }).href
    mesh.push(
      await startProcess(
        'worker',
        {
          DATABASE_URL: asWorker,
          EARSHOT_KEY: KEY,
          NODE_ID: 'attic',
          EARSHOT_HOME: homes('attic'),
        },
        { box: attic!.box },
      ),
    )
  })
  afterAll(async () => {
    for (const one of mesh.toReversed()) await one.stop()
    await database.db.pool.query(`drop user if exists ${user}`)
    await network?.[Symbol.asyncDispose]()
    await database?.[Symbol.asyncDispose]()
  })

  test('the coordinator is reached under its own address, and not without the key', async () => {
    expect(new URL(url).hostname).toBe(network.boxes[0]!.address)
    if (!network.isolated) return
    const without = await onDesk(['nodes', '--json'], { EARSHOT_KEY: '' })
    expect(without.code).not.toBe(0)
    expect(without.stdout).toContain('EARSHOT_UNAUTHORIZED')
    expect((await onDesk(['nodes', '--json'], { EARSHOT_KEY: 'wrong' })).stdout).toContain(
      'EARSHOT_UNAUTHORIZED',
    )
  })

  test('a recording dropped on one is fetched and heard by the other, over HTTP', async () => {
    await mkdir(homes('inbox'), { recursive: true })
    await speakFile(homes('money.wav'), SENTENCES[1].text)
    await rename(homes('money.wav'), path.join(homes('inbox'), 'money.wav'))
    await expect
      .poll(async () => JSON.parse((await onDesk(['search', 'hospital', '--json'])).stdout).hits, {
        timeout: 60_000,
        interval: 300,
      })
      .toMatchObject([{ title: 'money.wav', node: 'attic' }])
  })

  test('speech that the other makes comes back', async () => {
    const out = homes('said.wav')
    expect(await onDesk(['say', 'good morning', '-o', out])).toMatchObject({ code: 0 })
  })

  test('listening beyond loopback without a key is refused', async () => {
    await expect(
      startProcess('coordinator', {
        DATABASE_URL: database.url!,
        NODE_ID: 'open',
        EARSHOT_HOME: homes('open'),
        EARSHOT_PORT: '0',
        EARSHOT_HOST: '0.0.0.0',
      }),
    ).rejects.toThrow('needs a key')
  })
})
