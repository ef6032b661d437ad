import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFile, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { type AddressInfo, type Server, createServer } from 'node:net'
import path from 'node:path'
import { openDatabase } from '@earshot/db/open'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ffmpeg,
  makeSilence,
  makeTruncatedMp4,
  photograph,
  silentWav,
  copySlowly,
} from '../helpers/bad-files.ts'
import { type TestDatabase, testDatabase } from '../helpers/database.ts'
import { type InboxWatch, createInboxWatch } from '../helpers/inbox-watch.ts'
import { type MeshProcess, clientOf, earshot, eventOf, startProcess } from '../helpers/mesh.ts'
import { SENTENCES, speakApart, speakFile } from '../helpers/speech.ts'

const SECRET = 'the combination of the safe is marmalade'
const SETTLE_S = 1.5
const root = process.getuid?.() === 0
/** Deeper than a title may be long. */
const DEEP = path.join(
  ...Array.from({ length: 6 }, (_, i) => `${i}-${'deep '.repeat(40)}folder`),
  'at the bottom.wav',
)
const NAMES = [
  'two  spaces .wav',
  '"quoted" \'twice\'.wav',
  'new\nline.wav',
  '😀 🎙.wav',
  '$(touch pwned).wav',
  '-rf.wav',
  'back\\slash.wav',
  '%s %n {} ; | & # ?.wav',
  `${'é'.repeat(125)}x.wav`,
  DEEP,
]

/**
 * Everything that a folder of people can hold: each ends in a state and a sentence, no original is
 * touched, and the rest of the queue goes on.
 */
describe('what is dropped into the inbox of one process', () => {
  let database: TestDatabase
  let mesh: MeshProcess
  let settings: Record<string, string>
  let scratch: string
  let inbox: string
  let address: Server
  let requests = 0
  let watch: InboxWatch
  let before: Map<string, string>
  let writers: Promise<unknown>
  const at = (...names: string[]) => path.join(inbox, ...names)
  const made = (name: string) => path.join(scratch, name)
  const slow = [
    ['growing.wav', silentWav(50_000), false],
    ['allocated.wav', silentWav(60_000), true],
  ] as const

  beforeAll(async () => {
    database = await testDatabase('embedded')
    await database.db.close()
    scratch = path.join(database.home, 'scratch')
    inbox = path.join(database.home, 'inbox')
    await mkdir(scratch)
    await writeFile(
      path.join(database.home, 'config.yaml'),
      `inbox: { settle_s: ${SETTLE_S} }\nnode: { slots: { stt_batch: 1 } }\n`,
    )
    address = createServer((socket) => {
      requests++
      socket.destroy()
    }).listen(0, '127.0.0.1')
    await once(address, 'listening')
    mesh = await startProcess('up', {
      EARSHOT_HOME: database.home,
      EARSHOT_INBOX: inbox,
      EARSHOT_PORT: '0',
    })
    settings = { EARSHOT_HOME: database.home, EARSHOT_URL: mesh.announced.url! }
    watch = createInboxWatch(clientOf(mesh))
    // Both pause for longer than a file must stand still elsewhere; here the kernel tells when they
    // close it.
    for (const [name, content] of slow) await writeFile(made(name), content)
    writers = Promise.all(
      slow.map(([name, , allocate]) =>
        copySlowly(made(name), at(name), { pieces: 3, pauseMs: SETTLE_S * 2000, allocate }),
      ),
    )
    await dropAll()
    before = await photograph(inbox)
  })
  afterAll(async () => {
    address?.close()
    await mesh?.stop()
    await database?.[Symbol.asyncDispose]()
  })

  async function dropAll(): Promise<void> {
    const url = `http://127.0.0.1:${(address.address() as AddressInfo).port}/talk.wav`
    const [text, sound] = [made('secret.txt'), made('secret.wav')]
    await writeFile(text, SECRET)
    await speakFile(sound, SECRET)
    await writeFile(
      at('hls.mp3'),
      `#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n${sound}\n#EXTINF:5,\nfile://${text}\n#EXTINF:5,\n${url}\n#EXT-X-ENDLIST\n`,
    )
    await writeFile(
      at('concat.mp3'),
      `ffconcat version 1.0\nfile '${sound}'\nfile '${text}'\nfile '${url}'\n`,
    )
    await writeFile(at('list.mp3'), `[playlist]\nFile1=${sound}\nFile2=${url}\nNumberOfEntries=2\n`)
    await writeFile(at('only a url.mp3'), `${url}\n`)
    await writeFile(at('empty.mp3'), '')
    await writeFile(at('blank.txt'), ' \n\n\t\n')
    await writeFile(
      at('letter.mp3'),
      'Dear Ada,\n\nthis is a letter and no recording.\n'.repeat(40),
    )
    await writeFile(at('sound.txt'), silentWav(30_000))
    await writeFile(at('zero.wav'), silentWav(0))
    await makeTruncatedMp4(at('cut.mp4'))
    await ffmpeg('-f', 'lavfi', '-i', 'color=red:s=64x64', '-frames:v', '1', at('picture.png'))
    await ffmpeg(
      '-f',
      'lavfi',
      '-i',
      'color=red:s=64x64:d=1',
      '-c:v',
      'mpeg4',
      at('silent film.mp4'),
    )
    await writeFile(made('outside.wav'), silentWav(40_000))
    await symlink(made('outside.wav'), at('link.wav'))
    execFileSync('mkfifo', [at('pipe.wav')])
    if (root) execFileSync('mknod', [at('device.wav'), 'c', '1', '5'])
    for (const [i, name] of NAMES.entries()) {
      await mkdir(path.dirname(at(name)), { recursive: true })
      await writeFile(at(name), silentWav(1000 + i * 100))
    }
    await makeSilence(at('an hour of nothing.flac'), 3600)
    await mkdir(at('x.wav'))
    await copyFile(await speakFile(made('talk.wav'), SENTENCES[0].text), at('x.wav', 'talk.wav'))
  }

  const sentences: [file: string, code: string, sentence: string][] = [
    ['empty.mp3', 'EARSHOT_MEDIA_EMPTY', 'The file is empty.'],
    ['blank.txt', 'EARSHOT_MEDIA_EMPTY', 'The file is empty or holds nothing but blanks.'],
    ['zero.wav', 'EARSHOT_MEDIA_EMPTY', 'The file holds no sound: it lasts 0 seconds.'],
    ['silent film.mp4', 'EARSHOT_MEDIA_EMPTY', 'The video has no sound.'],
    ['letter.mp3', 'EARSHOT_MEDIA_UNREADABLE', 'The file is not audio or video that can be read.'],
    [
      'picture.png',
      'EARSHOT_MEDIA_UNREADABLE',
      'The file is not audio or video (it looks like png).',
    ],
    ['sound.txt', 'EARSHOT_MEDIA_UNREADABLE', 'The file is named as a text but holds binary data.'],
    [
      'cut.mp4',
      'EARSHOT_MEDIA_UNREADABLE',
      'The recording is cut off: its index, which stands at the end, is missing. Copy the file again, whole.',
    ],
    [
      'hls.mp3',
      'EARSHOT_MEDIA_REFUSED',
      'The file is an M3U or HLS playlist: it holds no sound but points at other files, which are not opened. Add the recordings themselves.',
    ],
    [
      'concat.mp3',
      'EARSHOT_MEDIA_REFUSED',
      'The file is an ffmpeg concat list: it holds no sound but points at other files, which are not opened. Add the recordings themselves.',
    ],
    [
      'list.mp3',
      'EARSHOT_MEDIA_REFUSED',
      'The file is a playlist: it holds no sound but points at other files, which are not opened. Add the recordings themselves.',
    ],
    [
      'only a url.mp3',
      'EARSHOT_MEDIA_REFUSED',
      'The file is a list of addresses: it holds no sound but points at other files, which are not opened. Add the recordings themselves.',
    ],
    [
      'pipe.wav',
      'EARSHOT_MEDIA_REFUSED',
      '“pipe.wav” is a named pipe and not a file, so it is not taken in.',
    ],
  ]
  test.each(sentences)('%s: %s', async (file, code, sentence) => {
    const { document, job } = await watch.until(file, ['failed'])
    expect(document.error).toEqual({ code, message: sentence })
    expect(job).toMatchObject({ status: 'failed', error: { code, message: sentence }, tries: 0 })
  })

  test.runIf(root)('a device is not opened', async () => {
    const { document } = await watch.until('device.wav', ['failed'])
    expect(document.error?.message).toBe(
      '“device.wav” is a device and not a file, so it is not taken in.',
    )
  })

  test('a link out of the inbox is not followed, and the command prints why', async () => {
    const { job } = await watch.until('link.wav', ['failed'])
    const { stdout } = await earshot(['job', String(job.id)], settings)
    expect(stdout).toContain(
      `“link.wav” is a link that leads out of the inbox, to ${made('outside.wav')}, so it is not taken in.`,
    )
    const hash = createHash('sha256').update(silentWav(40_000)).digest('hex')
    expect(
      (await clientOf(mesh).documents({ limit: 1000 })).filter(
        (document) => document.media === hash,
      ),
    ).toEqual([])
  })

  test.each(NAMES.map((name) => [name.slice(0, 40), name]))(
    'the name %j is only a name',
    async (_, name) => {
      const { document, job } = await watch.until(name)
      expect(document).toMatchObject({ status: 'ready', title: name, segments: 0 })
      const { title } = job.payload as { title: string }
      expect(title.length).toBeLessThanOrEqual(1000)
      expect(name.endsWith(title.replace('…', ''))).toBe(true)
    },
  )

  test('an hour of silence is ready with nothing in it, and the command says so', async () => {
    const { document } = await watch.until('an hour of nothing.flac')
    expect(document).toMatchObject({ status: 'ready', duration_s: 3600, segments: 0, chunks: 0 })
    expect(await earshot(['transcript', String(document.id)], settings)).toEqual({
      code: 0,
      stdout: '',
      stderr: `No speech was heard in document ${document.id}, an hour of nothing.flac (1:00:00); its loudest sound has -100 dB.\n`,
    })
  })

  test('a folder with a recording’s name is a folder; the recording in it is heard behind all of these', async () => {
    expect((await watch.until('x.wav/talk.wav')).document.status).toBe('ready')
    expect((await clientOf(mesh).search('weather rain')).hits[0]).toMatchObject({
      title: 'x.wav/talk.wav',
    })
  })

  test('the same content again is the same document: the inbox writes so into its log, and add says so', async () => {
    await copyFile(made('talk.wav'), at('again.wav'))
    await expect
      .poll(
        () =>
          mesh
            .log()
            .split('\n')
            .find((line) => line.includes('known already')),
        { timeout: 20_000 },
      )
      .toContain('again.wav')
    const { stderr } = await earshot(['add', made('talk.wav')], settings)
    expect(stderr).toContain('The same content is there already; nothing was added.')
    expect(await watch.named('again.wav')).toEqual([])
  })

  test('a text that failed under a recording’s name is read once it has a text’s name, as the same document', async () => {
    const [failed] = await watch.named('letter.mp3')
    await copyFile(at('letter.mp3'), at('letter.txt'))
    const { document } = await watch.until('letter.txt')
    expect(document).toMatchObject({ id: failed!.id, status: 'ready', kind: 'text', error: null })
  })

  test('a file still growing, and one whose full size is there at once, are taken once, when they are closed', async () => {
    await writers
    for (const [name, content] of slow) {
      const { document } = await watch.until(name)
      expect(document).toMatchObject({
        status: 'ready',
        media: createHash('sha256').update(content).digest('hex'),
      })
      expect(await watch.named(name)).toHaveLength(1)
    }
  })

  test('a file deleted while it waits, and one changed while it is heard, end with that; what the second is now is heard', async () => {
    const long = await speakApart(
      scratch,
      'long.wav',
      Array.from({ length: 16 }, (_, i) => SENTENCES[i % 4]!.text),
      0.5,
    )
    await copyFile(long, at('long.wav'))
    const { job } = await watch.until('long.wav', ['queued', 'processing'])
    await eventOf(
      clientOf(mesh),
      'the long recording is being heard',
      (event) => event.type === 'job.started' && event.job_id === job.id,
    )

    await writeFile(at('doomed.wav'), silentWav(70_000))
    await watch.until('doomed.wav', ['queued'])
    await rm(at('doomed.wav'))
    const doomed = await watch.until('doomed.wav', ['failed'])
    expect(doomed.document.error).toEqual({
      code: 'EARSHOT_MEDIA_GONE',
      message: '“doomed.wav” was removed from the inbox before it was done.',
    })

    expect((await clientOf(mesh).get(job.id)).status).toBe('running')
    await writeFile(at('long.wav'), silentWav(80_000))
    await expect
      .poll(async () => (await watch.named('long.wav')).map(({ status }) => status), {
        timeout: 40_000,
      })
      .toEqual(['ready', 'failed'])
    const [, dropped] = await watch.named('long.wav')
    expect(dropped).toMatchObject({ segments: 0, error: { code: 'EARSHOT_MEDIA_CHANGED' } })
    expect(dropped!.error!.message).toMatch(
      /changed after it was taken in. What was heard of it is dropped; the file as it is now is taken in anew.$/,
    )
  })

  // Minutes of work: pnpm exec vitest run test/flows/bad-input.test.ts with EARSHOT_LONG_TESTS=1.
  test.runIf(process.env.EARSHOT_LONG_TESTS)(
    'six hours with one sentence near their end are heard, and the sentence is found at its second',
    { timeout: 900_000 },
    async () => {
      await speakFile(made('last words.wav'), SENTENCES[2].text)
      await ffmpeg(
        '-f',
        'lavfi',
        '-i',
        'anullsrc=r=16000:cl=mono',
        '-i',
        made('last words.wav'),
        '-filter_complex',
        '[0]atrim=0:21500[a];[1]apad=pad_dur=100[b];[a][b]concat=n=2:v=0:a=1',
        '-c:a',
        'flac',
        '-frame_size',
        '65535',
        made('six hours.flac'),
      )
      await copyFile(made('six hours.flac'), at('six hours.flac'))
      const { document, job } = await watch.until('six hours.flac', undefined, 800)
      console.log(
        `six hours: ${document.duration_s} s of sound, ${(Date.parse(job.finished_at!) - Date.parse(job.assigned_at!)) / 1000} s of work`,
      )
      expect(document).toMatchObject({ status: 'ready' })
      const hit = (await clientOf(mesh).search('children school')).hits.find(
        ({ title }) => title === 'six hours.flac',
      )
      expect(hit!.start_s).toBeGreaterThan(21_499)
      expect(hit!.start_s).toBeLessThan(21_503)
    },
  )

  test('all of this opened nothing else, and left every original as it was', async () => {
    expect(requests).toBe(0)
    const after = await photograph(inbox)
    const untouched = [...before].filter(([name]) => !slow.some(([grown]) => grown === name))
    expect(Object.fromEntries(untouched.map(([name]) => [name, after.get(name)]))).toEqual(
      Object.fromEntries(untouched),
    )
    expect(await mesh.stop()).toBe(0)
    const db = await openDatabase({ home: database.home })
    try {
      const { rows } = await db.pool.query<{ name: string }>(
        `select quote_ident(table_name) as name from information_schema.tables where table_schema = 'earshot'`,
      )
      expect(rows.length).toBeGreaterThan(10)
      for (const { name } of rows) {
        expect(
          (
            await db.pool.query(
              `select from earshot.${name} t where t::text ~* 'marmalade|combination'`,
            )
          ).rowCount,
          name,
        ).toBe(0)
      }
    } finally {
      await db.close()
    }
  })
})
