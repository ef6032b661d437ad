import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { EarshotError } from '@earshot/contract'
import { mediaPath, signMedia } from '@earshot/shared/media/sign'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testDatabase, type TestDatabase } from '../../../test/helpers/database.ts'
import { type Mesh, startMesh } from './mesh.ts'

let own: TestDatabase
let mesh: Mesh
let secret: string
beforeAll(async () => {
  own = await testDatabase('embedded')
  mesh = await startMesh('embedded', { test: own, limits: { mediaBytes: 64 * 2 ** 20 } })
  secret = (await own.db.pool.query<{ secret: string }>('select secret from earshot.settings'))
    .rows[0]!.secret
})
afterAll(async () => {
  await mesh[Symbol.asyncDispose]()
  await own[Symbol.asyncDispose]()
})

const streamOf = (pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) =>
  Readable.toWeb(Readable.from(pieces)) as ReadableStream<Uint8Array>
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const code = async (response: Response): Promise<[number, string]> => [
  response.status,
  ((await response.json()) as { error: { code: string } }).error.code,
]

/** Everything that lies in the store, half-written files included. */
async function stored(): Promise<string[]> {
  const entries = await readdir(join(own.home, 'media'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

/** Media of an inbox: a file that stays where it is, known by its row. */
async function inboxFile(name: string, bytes: Uint8Array): Promise<{ hash: string; path: string }> {
  const path = join(own.home, 'inbox', name)
  await mkdir(join(own.home, 'inbox'), { recursive: true })
  await writeFile(path, bytes)
  const hash = sha256(bytes)
  await own.db.pool.query("select * from earshot.submit_document($1, $2, 'here', $3, $4)", [
    hash,
    bytes.length,
    path,
    name,
  ])
  return { hash, path }
}

describe('sending media', () => {
  test('an upload that is cut off leaves nothing behind', async () => {
    const before = await stored()
    const socket = connect(mesh.port, '127.0.0.1')
    socket.write(
      `POST /v1/media HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n${'x'.repeat(200_000)}`,
    )
    while ((await stored()).length === before.length) await sleep(5)
    socket.destroy()
    while ((await stored()).length > before.length) await sleep(5)
    expect(await stored()).toEqual(before)
  })

  test('an empty one, one shorter than announced and one over the limit are refused, and leave nothing', async () => {
    const before = await stored()
    await expect(mesh.client.addMedia(new Uint8Array())).rejects.toMatchObject({
      code: 'EARSHOT_MEDIA_EMPTY',
    })
    await expect(mesh.client.addMedia(new Uint8Array(10), { size: 11 })).rejects.toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      field: 'size',
    })
    await expect(mesh.client.addMedia(new Uint8Array(65 * 2 ** 20))).rejects.toMatchObject({
      code: 'EARSHOT_TOO_LARGE',
    })
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(2 ** 20)),
    })
    await expect(mesh.client.addMedia(endless)).rejects.toMatchObject({ code: 'EARSHOT_TOO_LARGE' })
    expect(await stored()).toEqual(before)
    expect((await own.db.pool.query('select from earshot.media')).rowCount).toBe(0)
  })

  test('a full disk is said, over the same connection', async () => {
    const full = {
      ...mesh.media,
      put: () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' })),
    }
    await using second = await startMesh('embedded', { test: own, media: full })
    await expect(second.client.addMedia(new Uint8Array(5_000_000))).rejects.toMatchObject({
      code: 'EARSHOT_DISK_FULL',
      status: 507,
    })
  })

  test.each([
    ['a type', 'audio/mpeg'],
    ['JSON', 'application/json'],
    ['a type nobody knows', 'application/x-nothing'],
    ['a form', 'multipart/form-data; boundary=x'],
  ])('the body is taken as it is, whatever its type says: %s', async (_, type) => {
    const bytes = randomBytes(1_000)
    const response = await fetch(`${mesh.url}/v1/media`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: bytes,
    })
    expect(response.status).toBe(201)
    expect(await response.json()).toEqual({ hash: sha256(bytes), size: 1_000, duplicate: false })
  })

  test('a body without a type or a length is taken too', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      let text = ''
      const socket = connect(mesh.port, '127.0.0.1')
      socket
        .on('data', (piece) => (text += piece))
        .on('error', reject)
        .on('close', () => resolve(text))
      socket.write(
        'POST /v1/media HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      )
    })
    expect(answer).toContain(sha256(Buffer.from('hello')))
  })

  test('a stream of unknown size arrives whole, its progress told; the same again is known', async () => {
    const bytes = randomBytes(3_000_000)
    const pieces = [bytes.subarray(0, 1), bytes.subarray(1, 2_000_000), bytes.subarray(2_000_000)]
    const sent: number[] = []
    const media = await mesh.client.addMedia(streamOf(pieces), {
      onProgress: (count) => sent.push(count),
    })
    expect(media).toEqual({ hash: sha256(bytes), size: 3_000_000, duplicate: false })
    expect(sent).toEqual([1, 2_000_000, 3_000_000])
    expect(await readFile(mesh.media.path(media.hash))).toEqual(bytes)
    expect(await mesh.client.addMedia(new Blob([bytes]))).toEqual({ ...media, duplicate: true })
    expect(
      (
        await own.db.pool.query('select holder, path from earshot.media where hash = $1', [
          media.hash,
        ])
      ).rows,
    ).toEqual([{ holder: 'here', path: mesh.media.path(media.hash) }])
  })

  test('an upload is aborted by its signal', async () => {
    const stop = new AbortController()
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(2 ** 10)),
    })
    const upload = mesh.client.addMedia(endless, {
      signal: stop.signal,
      onProgress: () => stop.abort(new Error('enough')),
    })
    await expect(upload).rejects.toThrow('enough')
  })
})

describe('fetching media beyond loopback', () => {
  let open: Mesh
  beforeAll(async () => {
    open = await startMesh('embedded', { test: own, settings: { host: '0.0.0.0', key: 'the key' } })
  })
  afterAll(() => open[Symbol.asyncDispose]())

  test('a wrong, an expired and a borrowed signature are refused; so is none', async () => {
    const { hash } = await open.client.addMedia(Buffer.from('signed'))
    const other = (await open.client.addMedia(Buffer.from('other'))).hash
    const now = Math.floor(Date.now() / 1000)
    expect(await code(await fetch(`${open.url}/v1/media/${hash}`))).toEqual([
      401,
      'EARSHOT_UNAUTHORIZED',
    ])
    for (const query of [
      `expires=${now + 60}&signature=${'0'.repeat(64)}`,
      `expires=${now - 400}&signature=${signMedia(secret, hash, now - 400)}`,
      `expires=${now + 61}&signature=${signMedia(secret, hash, now + 60)}`,
      `expires=${now + 60}&signature=${signMedia(secret, other, now + 60)}`,
    ])
      expect(await code(await fetch(`${open.url}/v1/media/${hash}?${query}`)), query).toEqual([
        403,
        'EARSHOT_BAD_SIGNATURE',
      ])
    expect((await code(await fetch(`${open.url}/v1/media/${hash}?signature=x`)))[0]).toBe(400)
    // A signature opens this one door, and no other.
    expect((await code(await fetch(`${open.url}/v1/jobs?signature=x`)))[0]).toBe(401)
  })

  test('a signed address serves the file; so does the key without one', async () => {
    const { hash } = await open.client.addMedia(Buffer.from('signed'))
    const signed = await fetch(open.url + mediaPath(secret, hash, 60))
    expect([signed.status, signed.headers.get('content-length'), await signed.text()]).toEqual([
      200,
      '6',
      'signed',
    ])
    const keyed = await fetch(`${open.url}/v1/media/${hash}`, {
      headers: { authorization: 'Bearer the key' },
    })
    expect(await keyed.text()).toBe('signed')
  })

  test("what is only another coordinator's is not here", async () => {
    const hash = sha256(Buffer.from('elsewhere'))
    await own.db.pool.query(
      "insert into earshot.media (hash, size, holder, path) values ($1, 9, 'there', '/etc/hostname')",
      [hash],
    )
    expect(await code(await fetch(open.url + mediaPath(secret, hash, 60)))).toEqual([
      404,
      'EARSHOT_NOT_FOUND',
    ])
  })
})

describe('media that stayed in an inbox', () => {
  const verify = async (hash: string): Promise<unknown> =>
    (await fetch(`${mesh.url}/v1/media/${hash}/verify`, { method: 'POST' })).json()

  test('a removed file is gone, a link in its place is not followed, another size has changed', async () => {
    const { hash, path } = await inboxFile('a.wav', Buffer.from('a recording'))
    const address = mesh.url + mediaPath(secret, hash, 60)
    expect(await (await fetch(address)).text()).toBe('a recording')
    await writeFile(path, 'a recording that went on')
    expect(await code(await fetch(address))).toEqual([409, 'EARSHOT_MEDIA_CHANGED'])
    expect(await verify(hash)).toEqual({ unchanged: false })
    await rm(path)
    expect(await code(await fetch(address))).toEqual([410, 'EARSHOT_MEDIA_GONE'])
    expect(await verify(hash)).toMatchObject({ error: { code: 'EARSHOT_MEDIA_GONE' } })
    await writeFile(join(own.home, 'secret'), 'a recording')
    await symlink(join(own.home, 'secret'), path)
    expect(await code(await fetch(address))).toEqual([410, 'EARSHOT_MEDIA_GONE'])
  })

  test('a folder that was swapped for a link to another serves nothing, of the same size or not', async () => {
    const inbox = { holds: () => true, isGone: () => true, verify: async () => 'gone' as const }
    await using second = await startMesh('embedded', { test: own, inbox })
    const folder = join(own.home, 'inbox', 'talks')
    await mkdir(folder, { recursive: true })
    const { hash } = await inboxFile('talks/c.wav', Buffer.from('what was taken'))
    const elsewhere = join(own.home, 'elsewhere')
    await mkdir(elsewhere)
    await writeFile(join(elsewhere, 'c.wav'), 'someone secret')
    await rm(folder, { recursive: true })
    await symlink(elsewhere, folder)
    expect(await code(await fetch(second.url + mediaPath(secret, hash, 60)))).toEqual([
      410,
      'EARSHOT_MEDIA_GONE',
    ])
    // A file that the inbox no longer calls its own is told by its content alone.
    expect(await code(await fetch(mesh.url + mediaPath(secret, hash, 60)))).toEqual([
      409,
      'EARSHOT_MEDIA_CHANGED',
    ])
  })

  test('a file that another of the same size replaced is not served', async () => {
    const { hash, path } = await inboxFile('d.wav', Buffer.from('first content'))
    const address = mesh.url + mediaPath(secret, hash, 60)
    expect(await (await fetch(address)).text()).toBe('first content')
    await writeFile(path, 'other content')
    expect(await code(await fetch(address))).toEqual([409, 'EARSHOT_MEDIA_CHANGED'])
  })

  test('what is not there while its disk may come back is away, not gone; what was taken in from another folder is compared where it lies', async () => {
    let holds = true
    const inbox = { holds: () => holds, isGone: () => false, verify: async () => 'gone' as const }
    await using second = await startMesh('embedded', { test: own, inbox })
    const { hash, path } = await inboxFile('away.wav', Buffer.from('on a disk of its own'))
    await own.db.pool.query(
      `insert into earshot.inbox_files (holder, path, size, mtime_ns, hash, status) values ('here', 'away.wav', 20, 1, $1, 'taken')`,
      [hash],
    )
    holds = false
    expect(
      await (await fetch(`${second.url}/v1/media/${hash}/verify`, { method: 'POST' })).json(),
    ).toEqual({ unchanged: true })
    holds = true
    await rm(path)
    for (const [method, what] of [
      ['GET', ''],
      ['POST', '/verify'],
    ] as const) {
      const answer = await fetch(`${second.url}/v1/media/${hash}${what}`, { method })
      expect([answer.status, await answer.json()]).toEqual([
        503,
        {
          error: {
            code: 'EARSHOT_UNREACHABLE',
            message: expect.stringContaining('away.wav is not there now'),
          },
        },
      ])
    }
  })

  test('content of the same size that changed is noticed', async () => {
    const { hash, path } = await inboxFile('b.wav', Buffer.from('first content'))
    expect(await verify(hash)).toEqual({ unchanged: true })
    await writeFile(path, 'other content')
    expect(await verify(hash)).toEqual({ unchanged: false })
  })

  test('where the inbox knows the file, the inbox is asked; where the store has it, nobody', async () => {
    const asked: unknown[] = []
    const answers = ['unchanged', 'changed', 'gone'] as const
    await using second = await startMesh('embedded', {
      test: own,
      inbox: {
        holds: () => true,
        isGone: () => true,
        async verify(path, was) {
          asked.push({ path, ...was })
          return answers[asked.length - 1] ?? 'gone'
        },
      },
    })
    const bytes = Buffer.from('known to the inbox')
    const { hash, path } = await inboxFile('c d.wav', bytes)
    await own.db.pool.query(
      "insert into earshot.inbox_files (holder, path, size, mtime_ns, hash, status) values ('here', 'c d.wav', $1, 1790000000123456789, $2, 'taken')",
      [bytes.length, hash],
    )
    const ask = async (): Promise<unknown> =>
      (await fetch(`${second.url}/v1/media/${hash}/verify`, { method: 'POST' })).json()
    expect(await ask()).toEqual({ unchanged: true })
    expect(await ask()).toEqual({ unchanged: false })
    expect(await ask()).toMatchObject({ error: { code: 'EARSHOT_MEDIA_GONE' } })
    expect(asked).toEqual(
      Array(3).fill({ path, hash, size: bytes.length, mtimeNs: 1790000000123456789n }),
    )
    await second.client.addMedia(bytes)
    expect(await ask()).toEqual({ unchanged: true })
    expect(asked).toHaveLength(3)
  })
})

test('stopping lets an upload in hand come to its end, and cuts it when hurried', async () => {
  const slow = (): ReadableStream<Uint8Array> =>
    streamOf(
      (async function* () {
        for (let n = 0; n < 20; n++) {
          yield Buffer.from(`${n} `)
          await sleep(20)
        }
      })(),
    )
  const second = await startMesh('embedded', { test: own })
  const finished = new Promise<void>((resolve) => {
    const upload = second.client.addMedia(slow(), { onProgress: (sent) => sent > 10 && resolve() })
    void upload.then(({ size }) => expect(size).toBe(50))
  })
  await finished
  await second.http.stop()

  const third = await startMesh('embedded', { test: own })
  const begun = Promise.withResolvers<void>()
  const cut = third.client.addMedia(slow(), { onProgress: (sent) => sent > 10 && begun.resolve() })
  await begun.promise
  await Promise.all([
    third.http.stop(AbortSignal.abort()),
    expect(cut).rejects.toBeInstanceOf(EarshotError),
  ])
})
