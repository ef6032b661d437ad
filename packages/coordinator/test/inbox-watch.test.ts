import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import {
  mkdir,
  mkdtemp,
  link,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { silentLog } from '@earshot/shared/log'
import { describe, expect, test } from 'vitest'
import { createInbox, type Inbox, type InboxSettings } from '../src/inbox/inbox.ts'
import type { KnownFile, RefusedFile } from '../src/inbox/store.ts'
import { WATCHERS, type WatcherName } from '../src/inbox/watcher.ts'
import { createMemoryStore } from './inbox-memory.ts'

const SETTLE_S = 0.6

type Mode = 'grow' | 'allocated' | 'update'

/** Another program that has the file open for writing, and does as it is told. */
async function startWriter(file: string, mode: Mode) {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'inbox-writer.mjs'), file, mode],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  expect((await lines.next()).value).toBe('open')
  return {
    async write() {
      child.stdin.write('\n')
      expect((await lines.next()).value).toBe('wrote')
    },
    async close() {
      child.stdin.end()
      expect((await lines.next()).value).toBe('closed')
    },
  }
}

async function setup(watcher: WatcherName, onTestFinished: (work: () => Promise<void>) => void) {
  const home = await mkdtemp(join(tmpdir(), 'earshot inbox '))
  const dir = join(home, 'inbox')
  const memory = createMemoryStore()
  const inboxes: Inbox[] = []
  onTestFinished(async () => {
    for (const inbox of inboxes) await inbox.stop()
    await rm(home, { recursive: true, force: true })
  })
  async function open(more: Partial<InboxSettings> = {}): Promise<Inbox> {
    const settings = {
      dir,
      store: memory.store,
      log: silentLog(),
      settleS: SETTLE_S,
      rescanS: 3600,
      checkS: 0.1,
      pollS: 0.1,
      watcher,
      ...more,
    }
    const inbox = createInbox(settings)
    inboxes.push(inbox)
    await inbox.start()
    return inbox
  }
  return {
    home,
    dir,
    memory,
    open,
    writer: (name: string, mode: Mode) => startWriter(join(dir, name), mode),
  }
}

// Every watcher passes the same suite: how a file is proven whole differs, what comes of it does
// not.
describe.concurrent.each(WATCHERS)('the inbox, watched by %s', (watcher) => {
  test.for(['grow', 'allocated'] as const)(
    'a file still being written (%s) is not taken before it is whole',
    async (mode, { onTestFinished }) => {
      const { memory, open, writer } = await setup(watcher, onTestFinished)
      await open()
      const slow = await writer('slow.wav', mode)
      for (let piece = 0; piece < 10; piece++) {
        await slow.write()
        await sleep(piece === 5 ? SETTLE_S * 2500 : 100) // once it pauses for longer than the settle time
      }
      const closing = performance.now()
      await slow.close()
      const taken = await memory.of('take', 'slow.wav')
      expect(taken.file.size).toBe(10_000)
      expect(taken.atMs).toBeGreaterThanOrEqual(closing - 5)
      expect(memory.told).toHaveLength(1)
    },
  )

  test('a file that one program allocated and another one fills is not taken before it is full', async ({
    onTestFinished,
  }) => {
    const { home, dir, memory, open, writer } = await setup(watcher, onTestFinished)
    await open()
    await writeFile(join(home, 'beside'), Buffer.alloc(3000))
    const fill = async () => {
      const second = await writer('two.wav', 'update')
      for (let piece = 0; piece < 3; piece++) {
        await second.write()
        await sleep(SETTLE_S * 500)
      }
      await second.close()
    }
    await mkdir(join(dir, '.hidden'))
    await rename(join(home, 'beside'), join(dir, '.hidden', 'x'))
    await link(join(dir, '.hidden', 'x'), join(dir, 'two.wav'))
    await fill()
    const taken = await memory.of('take', 'two.wav')
    expect(taken.file.hash).toBe(createHash('sha256').update(Buffer.alloc(3000, 'x')).digest('hex'))
    expect(memory.told).toHaveLength(1)
  })

  test('an empty file is not taken while it may still be filled', async ({ onTestFinished }) => {
    const { dir, memory, open, writer } = await setup(watcher, onTestFinished)
    await open()
    await writeFile(join(dir, 'later.wav'), '')
    const slow = await writer('later.wav', 'update')
    await sleep(SETTLE_S * 1500)
    await slow.write()
    await sleep(SETTLE_S * 1500)
    await slow.close()
    expect((await memory.of('take', 'later.wav')).file.size).toBe(1000)
    expect(memory.told).toHaveLength(1)
  })

  test('an empty file that stays empty is taken, for the decoder to judge', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    await writeFile(join(dir, 'empty.wav'), '')
    expect((await memory.of('take', 'empty.wav')).file.size).toBe(0)
  })

  test('a file that changed after it was taken is taken anew', async ({ onTestFinished }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    await writeFile(join(dir, 'a.wav'), 'one')
    const first = await memory.of('take', 'a.wav')
    await writeFile(join(dir, 'a.wav'), 'two and more')
    const second = await memory.of('take', 'a.wav', 2)
    expect(second.file.hash).not.toBe(first.file.hash)
    expect(second.file.size).toBe(12)
  })

  test('a file whose content changed behind its time is found out and taken anew', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    const inbox = await open()
    await writeFile(join(dir, 'a.wav'), 'one')
    await utimes(join(dir, 'a.wav'), 1000, 1000)
    const { file } = await memory.of(
      'take',
      'a.wav',
      (await memory.of('take', 'a.wav')).file.mtimeNs === 1000_000_000_000n ? 1 : 2,
    )
    expect(await inbox.verify('a.wav', file)).toBe('unchanged')
    await writeFile(join(dir, 'a.wav'), 'two')
    await utimes(join(dir, 'a.wav'), 1000, 1000)
    const count = memory.told.length
    expect(await inbox.verify(join(dir, 'a.wav'), file)).toBe('changed')
    const anew = await memory.until(() =>
      memory.told.slice(count).find((told) => told.did === 'take'),
    )
    expect(anew.did === 'take' && anew.file.hash).not.toBe(file.hash)
    await rm(join(dir, 'a.wav'))
    expect(await inbox.verify('a.wav', file)).toBe('gone')
    // It may have been renamed; only once that is ruled out, and what needs it has ended, is it
    // gone.
    expect(inbox.isGone(join(dir, 'a.wav'))).toBe(false)
    await memory.of('gone', 'a.wav')
    await expect.poll(() => inbox.isGone(join(dir, 'a.wav'))).toBe(true)
    await expect(inbox.verify('../beside', file)).rejects.toMatchObject({
      code: 'EARSHOT_NOT_FOUND',
    })
  })

  test('what cannot be taken is refused with a sentence, once, and the rest goes on', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await mkdir(dir)
    execFileSync('mkfifo', [join(dir, 'pipe.wav')])
    await symlink('/etc/passwd', join(dir, 'out.mp3'))
    await symlink('../beside-that-is-missing', join(dir, 'dangling.mp3'))
    await mkdir(join(dir, 'folder.wav'))
    await writeFile(join(dir, 'folder.wav', 'inside.wav'), 'sound')
    await symlink(join(dir, 'folder.wav', 'inside.wav'), join(dir, 'within.mp3'))
    await writeFile(
      Buffer.concat([Buffer.from(`${dir}/bad`), Buffer.from([0xff]), Buffer.from('.wav')]),
      'sound',
    )
    const inbox = await open()
    await memory.of('take', 'folder.wav/inside.wav')
    const sentences = await Promise.all(
      ['pipe.wav', 'out.mp3', 'dangling.mp3', 'bad\\xff.wav'].map(
        async (path) => (await memory.of('refuse', path)).file,
      ),
    )
    expect(sentences.map(({ sentence }) => sentence)).toEqual([
      '“pipe.wav” is a named pipe and not a file, so it is not taken in.',
      expect.stringContaining('leads out of the inbox, to /etc/passwd'),
      expect.stringContaining('leads out of the inbox'),
      expect.stringContaining('is not valid UTF-8'),
    ])
    expect(new Set(sentences.map(({ code }) => code))).toEqual(new Set(['EARSHOT_MEDIA_REFUSED']))
    await inbox.rescan()
    await writeFile(join(dir, 'last.wav'), 'last')
    await memory.of('take', 'last.wav')
    expect(memory.told).toHaveLength(6)
  })

  test('a file over the limit is refused unread, and taken once it is smaller', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open({ maxBytes: 2_000_000 })
    await writeFile(join(dir, 'big.wav'), Buffer.alloc(2_500_000))
    expect((await memory.of('refuse', 'big.wav')).file).toMatchObject({
      code: 'EARSHOT_TOO_LARGE',
      sentence:
        '“big.wav” has 0.0025 GB, more than the limit of 0.002 GB (limits.max_media_gb), so it is not taken in.',
    })
    await writeFile(join(dir, 'big.wav'), 'small')
    await memory.of('take', 'big.wav')
    expect(memory.told).toHaveLength(2)
  })

  test('what an event and a look through the folder come upon at once is refused once', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    const refuse = async (file: RefusedFile) => {
      await sleep(100)
      return memory.store.refuse(file)
    }
    const inbox = await open({ store: { ...memory.store, refuse } })
    await writeFile(
      Buffer.concat([Buffer.from(`${dir}/bad`), Buffer.from([0xff]), Buffer.from('.wav')]),
      'sound',
    )
    await Promise.all([inbox.rescan(), inbox.rescan()])
    await memory.of('refuse', 'bad\\xff.wav')
    await writeFile(join(dir, 'last.wav'), 'last')
    await memory.of('take', 'last.wav')
    expect(memory.told).toHaveLength(2)
  })

  test('a device dropped while it watches is refused without being opened', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    execFileSync('mkfifo', [join(dir, 'later pipe.wav')])
    await symlink('/dev/zero', join(dir, 'zero.wav'))
    expect((await memory.of('refuse', 'zero.wav')).file.sentence).toContain('/dev/zero')
    if (watcher === 'inotifywait') await memory.of('refuse', 'later pipe.wav')
  })

  test('what other programs keep beside is passed over in silence', async ({ onTestFinished }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    for (const name of [
      '.hidden.wav',
      '~$talk.docx',
      'x.mp3.part',
      'x.crdownload',
      'x.TMP',
      'Thumbs.db',
    ])
      await writeFile(join(dir, name), 'x')
    await mkdir(join(dir, '@eaDir'))
    await writeFile(join(dir, '@eaDir', 'x.wav'), 'x')
    await writeFile(join(dir, 'x.mp3.part2'), 'x')
    await memory.of('take', 'x.mp3.part2')
    await rename(join(dir, 'x.mp3.part'), join(dir, 'x.mp3'))
    await memory.of('take', 'x.mp3')
    expect(memory.told).toHaveLength(2)
  })

  test('names with spaces, quotes, newlines, emoji and $(…) come through, in folders made on the way', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    const names = [
      'a b.wav',
      `it's "quoted".wav`,
      'two\nlines.wav',
      '🎙️ é.wav',
      '$(touch x);`id`.wav',
      '-rf.wav',
      'back\\slash.wav',
    ]
    await mkdir(join(dir, 'new', 'deep\n$(x)', '🎙️'), { recursive: true })
    for (const name of names) await writeFile(join(dir, 'new', 'deep\n$(x)', '🎙️', name), name)
    for (const name of names)
      expect((await memory.of('take', `new/deep\n$(x)/🎙️/${name}`)).file.absolute).toBe(
        join(dir, 'new', 'deep\n$(x)', '🎙️', name),
      )
    expect(memory.told).toHaveLength(names.length)
  })

  test('a file renamed in, a folder moved in and a hard link are taken', async ({
    onTestFinished,
  }) => {
    const { home, dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    await writeFile(join(home, 'moved.wav'), 'moved')
    await writeFile(join(home, 'linked.wav'), 'linked')
    await mkdir(join(home, 'folder'))
    await writeFile(join(home, 'folder', 'in.wav'), 'in')
    await rename(join(home, 'moved.wav'), join(dir, 'moved.wav'))
    await link(join(home, 'linked.wav'), join(dir, 'linked.wav'))
    await rename(join(home, 'folder'), join(dir, 'folder'))
    for (const path of ['moved.wav', 'linked.wav', 'folder/in.wav']) await memory.of('take', path)
  })

  test('what was dropped while nothing ran is found; what was done is not done again', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await mkdir(join(dir, 'sub'), { recursive: true })
    await writeFile(join(dir, 'done.wav'), 'done')
    await writeFile(join(dir, 'sub', 'new.wav'), 'new')
    await utimes(join(dir, 'sub', 'new.wav'), 1000, 1000)
    const { size, mtimeNs } = await stat(join(dir, 'done.wav'), { bigint: true })
    // The hash is a wrong one: were the file read again, it would be taken again.
    memory.rows.set('done.wav', {
      status: 'taken',
      size: Number(size),
      mtimeNs,
      hash: '0'.repeat(64),
    } satisfies KnownFile)
    const inbox = await open()
    await memory.of('take', 'sub/new.wav')
    await inbox.rescan()
    await inbox.stop()
    expect(memory.told).toHaveLength(1)
  })

  test('the same content twice is said to be a duplicate; text is told from sound by its name', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    await writeFile(join(dir, 'a.TXT'), 'same')
    const first = await memory.of('take', 'a.TXT')
    await writeFile(join(dir, 'b.mp3'), 'same')
    const second = await memory.of('take', 'b.mp3')
    expect([first.file.kind, first.duplicate, second.file.kind, second.duplicate]).toEqual([
      'text',
      false,
      'audio',
      true,
    ])
  })

  test('a store that fails for a while delays a file and loses none', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    memory.failures.push(
      new Error('the database is away'),
      Object.assign(new Error('its socket too'), { code: 'EACCES' }),
    )
    await writeFile(join(dir, 'a.wav'), 'a')
    await writeFile(join(dir, 'b.wav'), 'b')
    await Promise.all([memory.of('take', 'a.wav'), memory.of('take', 'b.wav')])
    expect(memory.told.map(({ did }) => did)).toEqual(['take', 'take'])
  })

  test('a deleted file is told as gone; a renamed one is found under its new name first', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    const inbox = await open({ renameS: 8 })
    for (const name of ['a.wav', 'b.wav', 'c.wav']) await writeFile(join(dir, name), name)
    for (const name of ['a.wav', 'b.wav', 'c.wav']) await memory.of('take', name)
    await rm(join(dir, 'a.wav'))
    await rename(join(dir, 'b.wav'), join(dir, 'renamed.wav'))
    await memory.of('take', 'renamed.wav')
    await inbox.rescan()
    await Promise.all([memory.of('gone', 'a.wav'), memory.of('gone', 'b.wav')])
    const order = memory.told.map(({ did, path }) => `${did} ${path}`)
    expect(order.indexOf('take renamed.wav')).toBeLessThan(order.indexOf('gone b.wav'))
    expect(memory.told).toHaveLength(6)
  })

  test('a folder that is removed and made again is watched again', async ({ onTestFinished }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    await writeFile(join(dir, 'a.wav'), 'a')
    await memory.of('take', 'a.wav')
    await rm(dir, { recursive: true })
    await sleep(300)
    await mkdir(dir)
    await writeFile(join(dir, 'b.wav'), 'b')
    await memory.of('take', 'b.wav')
    await sleep(300)
    await writeFile(join(dir, 'c.wav'), 'c')
    await memory.of('take', 'c.wav')
  })

  test('a disk that vanishes from under the inbox cancels nothing', async ({ onTestFinished }) => {
    const { home, memory, open } = await setup(watcher, onTestFinished)
    await mkdir(join(home, 'disk', 'inbox'), { recursive: true })
    const inbox = await open({ dir: join(home, 'disk', 'inbox') })
    await writeFile(join(home, 'disk', 'inbox', 'a.wav'), 'a')
    await memory.of('take', 'a.wav')
    // What an unmount looks like from here: the folder is there no more, or an empty other one is,
    // and no file was deleted.
    const isGone = () => inbox.isGone(join(home, 'disk', 'inbox', 'a.wav'))
    await rename(join(home, 'disk'), join(home, 'unmounted'))
    expect(isGone()).toBe(false)
    await sleep(400)
    await inbox.rescan()
    await mkdir(join(home, 'disk', 'inbox'), { recursive: true })
    await writeFile(join(home, 'disk', 'inbox', 'b.wav'), 'b')
    expect(isGone()).toBe(false)
    await memory.of('take', 'b.wav')
    await inbox.rescan()
    await inbox.rescan()
    await sleep(2500)
    expect(isGone()).toBe(false)
    expect(memory.told.map(({ did }) => did)).toEqual(['take', 'take'])
  })

  test('an inbox whose disk was not mounted at start cancels nothing', async ({
    onTestFinished,
  }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    memory.rows.set('a.wav', { status: 'taken', size: 1, mtimeNs: 1n, hash: '0'.repeat(64) })
    const inbox = await open()
    await inbox.rescan()
    await writeFile(join(dir, 'b.wav'), 'b')
    await memory.of('take', 'b.wav')
    await inbox.rescan()
    await sleep(2500)
    expect(memory.told.map(({ did }) => did)).toEqual(['take'])
  })

  test('the files themselves are never altered', async ({ onTestFinished }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    await writeFile(join(dir, 'a.wav'), 'a')
    const before = await stat(join(dir, 'a.wav'), { bigint: true })
    await memory.of('take', 'a.wav')
    const after = await stat(join(dir, 'a.wav'), { bigint: true })
    expect([after.ino, after.mtimeNs, after.ctimeNs, after.mode]).toEqual([
      before.ino,
      before.mtimeNs,
      before.ctimeNs,
      before.mode,
    ])
    expect(await readFile(join(dir, 'a.wav'), 'utf8')).toBe('a')
  })
})

// One after the other: a burst of files would slow the other tests' watchers down.
test.for(WATCHERS)(
  'a thousand files at once are all taken, once, watched by %s',
  async (watcher, { onTestFinished }) => {
    const { dir, memory, open } = await setup(watcher, onTestFinished)
    await open()
    for (let i = 0; i < 1000; i++) writeFileSync(join(dir, `${i}.wav`), `file ${i}`)
    await memory.until(() => memory.told.length >= 1000, 50_000)
    await sleep(300)
    expect(new Set(memory.told.map(({ did, path }) => `${did} ${path}`)).size).toBe(1000)
    expect(memory.told).toHaveLength(1000)
  },
)
