import { createHash } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fetchMedia } from '../src/media/fetch.ts'
import { CLOCK_SKEW_S, mediaPath, signMedia, verifyMedia } from '@earshot/shared/media/sign'

const CONTENT = Buffer.alloc(200_000, 'sound')
const HASH = createHash('sha256').update(CONTENT).digest('hex')

async function holder(answer: RequestListener) {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const dir = await mkdtemp(join(tmpdir(), 'earshot fetch '))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await rm(dir, { recursive: true, force: true })
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/media/${HASH}`
  return {
    dir,
    url,
    wanted: {
      url,
      hash: HASH,
      size: CONTENT.length,
      dir,
      signal: new AbortController().signal,
      silenceS: 0.5,
    },
  }
}

const status =
  (code: number): RequestListener =>
  (_, response) =>
    void response.writeHead(code).end('{}')

test.each<[string, RequestListener, string]>([
  ['a 404', status(404), 'EARSHOT_MEDIA_GONE'],
  ['a 410', status(410), 'EARSHOT_MEDIA_GONE'],
  ['a 409', status(409), 'EARSHOT_MEDIA_CHANGED'],
  ['a 403', status(403), 'EARSHOT_BAD_SIGNATURE'],
  ['a 500', status(500), 'EARSHOT_UNREACHABLE'],
  [
    'a redirect',
    (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    'EARSHOT_UNREACHABLE',
  ],
  [
    'other bytes of the same length',
    (_, response) => void response.end(Buffer.alloc(CONTENT.length, 'noise')),
    'EARSHOT_MEDIA_CHANGED',
  ],
  ['fewer bytes', (_, response) => void response.end(CONTENT.subarray(1)), 'EARSHOT_MEDIA_CHANGED'],
  [
    'more bytes',
    (_, response) => void response.end(Buffer.concat([CONTENT, CONTENT])),
    'EARSHOT_MEDIA_CHANGED',
  ],
  [
    'a connection that breaks',
    (_, response) => {
      response.writeHead(200, { 'content-length': CONTENT.length })
      response.write(CONTENT.subarray(0, 1000), () => response.destroy())
    },
    'EARSHOT_UNREACHABLE',
  ],
  [
    'a connection that falls silent',
    (_, response) => void response.writeHead(200).write('s'),
    'EARSHOT_UNREACHABLE',
  ],
  ['no answer at all', () => undefined, 'EARSHOT_UNREACHABLE'],
])('%s is told from the others, and leaves no file', async (_, answer, code) => {
  const { dir, wanted } = await holder(answer)
  await expect(fetchMedia(wanted)).rejects.toMatchObject({ code })
  expect(await readdir(dir)).toEqual([])
})

test('a holder that cannot get at the file now is quoted', async () => {
  const { wanted } = await holder(
    (_, response) =>
      void response
        .writeHead(503)
        .end('{"error": {"code": "EARSHOT_UNREACHABLE", "message": "Mount its disk."}}'),
  )
  await expect(fetchMedia(wanted)).rejects.toMatchObject({
    code: 'EARSHOT_UNREACHABLE',
    message: 'Mount its disk.',
  })
})

test('nobody listening is a holder that does not answer', async () => {
  const { wanted } = await holder(status(200))
  await expect(
    fetchMedia({ ...wanted, url: 'http://127.0.0.1:1/v1/media/x' }),
  ).rejects.toMatchObject({
    code: 'EARSHOT_UNREACHABLE',
    message: expect.stringContaining('127.0.0.1:1'),
  })
})

test('a fetch that is no longer wanted ends with the reason and leaves no file', async () => {
  const { dir, wanted } = await holder(
    (_, response) => void response.writeHead(200).write(CONTENT.subarray(0, 1000)),
  )
  const abort = new AbortController()
  setTimeout(() => abort.abort(new Error('the lease is lost')), 50)
  await expect(fetchMedia({ ...wanted, silenceS: 30, signal: abort.signal })).rejects.toThrow(
    'the lease is lost',
  )
  expect(await readdir(dir)).toEqual([])
})

test('a file that comes as promised is there, and nothing beside it', async () => {
  const { dir, wanted } = await holder((_, response) => void response.end(CONTENT))
  const path = await fetchMedia(wanted)
  expect(path).toBe(join(dir, HASH))
  expect(await readFile(path)).toEqual(CONTENT)
  expect(await readdir(dir)).toEqual([HASH])
})

describe('signed addresses', () => {
  const NOW = 1_790_000_000_000
  const expires = NOW / 1000 + 60
  const good = { hash: HASH, expires, signature: signMedia('secret', HASH, expires) }

  test.each([
    ['another secret', { ...good, signature: signMedia('other', HASH, expires) }],
    ['another hash', { ...good, hash: '0'.repeat(64) }],
    ['a later expiry', { ...good, expires: expires + 1 }],
    ['an expiry that is no number', { ...good, expires: 'soon' }],
    ['a shorter signature', { ...good, signature: good.signature.slice(0, 10) }],
    ['an empty signature', { ...good, signature: '' }],
    [
      'a hash that is a path',
      { hash: '../x', expires, signature: signMedia('secret', '../x', expires) },
    ],
  ])('%s is refused', (_, asked) => {
    expect(() => verifyMedia('secret', asked, NOW)).toThrow(
      expect.objectContaining({ code: 'EARSHOT_BAD_SIGNATURE' }),
    )
  })

  test('an address holds until it expires, and five minutes longer for clocks that differ', () => {
    const late = (expires + CLOCK_SKEW_S) * 1000
    verifyMedia('secret', good, NOW)
    verifyMedia('secret', { ...good, expires: String(expires) }, late)
    expect(() => verifyMedia('secret', good, late + 1)).toThrow(/expired/)
  })

  test('the path of a media file carries what the check needs', () => {
    const url = new URL(mediaPath('secret', HASH, 60, NOW), 'http://box')
    expect(url.pathname).toBe(`/v1/media/${HASH}`)
    const { expires, signature } = Object.fromEntries(url.searchParams) as {
      expires: string
      signature: string
    }
    verifyMedia('secret', { hash: HASH, expires, signature }, NOW)
  })
})
