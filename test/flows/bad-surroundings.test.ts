import { execFileSync } from 'node:child_process'
import {
  chmod,
  chown,
  copyFile,
  lchown,
  mkdir,
  readdir,
  rm,
  utimes,
  writeFile,
} from 'node:fs/promises'
import path from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { photograph, silentWav } from '../helpers/bad-files.ts'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { createInboxWatch } from '../helpers/inbox-watch.ts'
import {
  type MeshProcess,
  type Settings,
  clientOf,
  earshot,
  eventOf,
  startProcess,
} from '../helpers/mesh.ts'
import { SENTENCES, speakFile } from '../helpers/speech.ts'

const root = process.getuid?.() === 0
const NOBODY = 65_534
/** Root may read everything, so as root the mesh runs as someone else. */
const asNobody = root ? ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] : []

let database: TestDatabase | undefined
let mesh: MeshProcess[] = []
let mounted: string | undefined
afterEach(async () => {
  for (const one of mesh.toReversed()) await one.stop()
  mesh = []
  if (mounted !== undefined) execFileSync('umount', [mounted])
  mounted = undefined
  await database?.[Symbol.asyncDispose]()
  database = undefined
})
const start = async (...args: Parameters<typeof startProcess>) => {
  const one = await startProcess(...args)
  mesh.push(one)
  return one
}

test(
  'what may not be read is taken in once it may; what was dropped while nothing ran is found; what was done is not even opened',
  { timeout: 120_000 },
  async () => {
    database = await testDatabase('embedded')
    await database.db.close()
    const inbox = path.join(database.home, 'inbox')
    const base: Settings = {
      EARSHOT_HOME: database.home,
      EARSHOT_INBOX: inbox,
      EARSHOT_PORT: '0',
      NODE_ID: 'desk',
    }
    await mkdir(inbox)
    await writeFile(path.join(database.home, 'config.yaml'), 'inbox: { settle_s: 1.5 }\n')
    const old = async (name: string, samples: number, mode = 0o644) => {
      await writeFile(path.join(inbox, name), silentWav(samples), { mode })
      // As files are that were copied with their times: old enough to count as whole at once.
      await utimes(path.join(inbox, name), new Date('2026-01-01'), new Date('2026-01-01'))
    }
    await old('private.wav', 1000, 0o000)
    await old('open.wav', 2000)
    if (root) await giveAway(database.home)

    const first = await start('up', base, { box: asNobody })
    const watch = createInboxWatch(clientOf(first))
    const { document, job } = await watch.until('private.wav', ['failed'])
    expect(document.error).toEqual({
      code: 'EARSHOT_MEDIA_UNREADABLE',
      message:
        '“private.wav” cannot be read by the user that Earshot runs as. Give it read permission; it is then taken in by itself.',
    })
    expect(
      (await earshot(['job', String(job.id)], { ...base, EARSHOT_URL: first.announced.url! }))
        .stdout,
    ).toContain('Give it read permission')
    expect((await watch.until('open.wav')).document.status).toBe('ready')
    await chmod(path.join(inbox, 'private.wav'), 0o444)
    expect((await watch.until('private.wav', ['ready'])).document.status).toBe('ready')
    const jobs = await clientOf(first).jobs({ limit: 100 })
    expect(await first.stop()).toBe(0)

    // Who cannot read what was done cannot hash it either: it would be refused.
    for (const name of ['open.wav', 'private.wav']) await chmod(path.join(inbox, name), 0o000)
    await old('while nothing ran.wav', 3000)
    const before = await photograph(inbox)
    const second = await start('up', base, { box: asNobody })
    expect(
      (await createInboxWatch(clientOf(second)).until('while nothing ran.wav')).document.status,
    ).toBe('ready')
    const later = await clientOf(second).jobs({ limit: 100 })
    expect(
      later
        .filter(({ id }) => !jobs.some((one) => one.id === id))
        .map(({ kind }) => kind)
        .sort(),
    ).toEqual(['embed', 'transcribe'])
    expect(second.log()).not.toMatch(/cannot be read|(open|private)\.wav/)
    expect(await photograph(inbox)).toEqual(before)
  },
)

describe.runIf(databases.includes('postgres'))('a full disk, on a real server', () => {
  test(
    'of a worker is charged to the node and said in the job, which goes on once there is room',
    { timeout: 120_000 },
    async (context) => {
      database = await testDatabase('postgres')
      const small = path.join(database.home, 'small')
      await mkdir(small)
      if (!mount(small)) context.skip('no disk of a given size can be mounted here')
      const base: Settings = {
        EARSHOT_HOME: path.join(database.home, 'home'),
        EARSHOT_INBOX: path.join(database.home, 'inbox'),
        EARSHOT_PORT: '0',
        DATABASE_URL: database.url!,
      }
      const desk = await start('coordinator', { ...base, NODE_ID: 'desk' })
      await start('worker', { ...base, EARSHOT_HOME: small, NODE_ID: 'box-1' })
      const client = clientOf(desk)
      await writeFile(path.join(small, 'filler'), Buffer.alloc(3_900_000))
      const talk = await speakFile(
        path.join(database.home, 'talk.wav'),
        `${SENTENCES[0].text}. ${SENTENCES[1].text}. ${SENTENCES[2].text}.`,
      )
      await copyFile(talk, path.join(base.EARSHOT_INBOX!, 'talk.wav'))
      await eventOf(
        client,
        'the job went back',
        (event) => event.type === 'job.requeued' && event.data?.cause === 'node',
      )

      const { job } = await createInboxWatch(client).until('talk.wav', ['queued', 'processing'])
      expect(job).toMatchObject({
        status: 'pending',
        tries: 0,
        error: { message: expect.stringMatching(/^Node box-1 could not do it: .*disk.* is full/) },
      })
      expect(
        (await earshot(['job', String(job.id)], { ...base, EARSHOT_URL: desk.announced.url! }))
          .stdout,
      ).toMatch(/disk.* is full/)
      expect(
        (await database.db.pool.query(`select faults from earshot.nodes where id = 'box-1'`))
          .rows[0].faults,
      ).toBeGreaterThan(0)
      // What does not need that much room is done meanwhile.
      await writeFile(path.join(base.EARSHOT_INBOX!, 'notes.txt'), 'The rest of the queue goes on.')
      expect((await createInboxWatch(client).until('notes.txt')).document.status).toBe('ready')

      await rm(path.join(small, 'filler'))
      const { document } = await createInboxWatch(client).until('talk.wav')
      expect(document).toMatchObject({ status: 'ready', node: 'box-1' })
    },
  )
})

function mount(folder: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', folder], { stdio: 'ignore' })
    mounted = folder
    return true
  } catch {
    return false
  }
}

async function giveAway(folder: string): Promise<void> {
  await chown(folder, NOBODY, NOBODY)
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name)
    if (!file.includes(`${path.sep}inbox${path.sep}`)) await lchown(file, NOBODY, NOBODY)
  }
}
