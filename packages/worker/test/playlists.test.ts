import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decode } from '../src/audio/decode.ts'
import { probeMedia } from '../src/audio/probe.ts'
import { errorOf, makeMedia, tempFolder, tone } from './helpers/media.ts'

const dir = await tempFolder()
const at = (name: string) => path.join(dir, name)
const asked: string[] = []
const server = createServer((request, response) => {
  asked.push(request.url ?? '')
  response.end()
})
let secret: string
let port: number

beforeAll(async () => {
  secret = await makeMedia(...tone(2), '-f', 'mpegts', '-c:a', 'aac', at('secret.ts'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => server.close())

const url = (): string => `http://127.0.0.1:${port}/secret.ts`
const hls = (target: string): string =>
  `#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n${target}\n#EXT-X-ENDLIST\n`
const mpd = (target: string): string =>
  `<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp2t"><Representation id="1" bandwidth="1000"><BaseURL>${target}</BaseURL></Representation></AdaptationSet></Period></MPD>\n`
const sdp = (): string =>
  `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio ${port} RTP/AVP 0\n`

const BAITS: Array<[string, () => string]> = [
  ['an HLS list of a file', () => hls(secret)],
  ['an HLS list of a file by its name', () => hls('secret.ts')],
  ['an HLS list of an address', () => hls(url())],
  ['an HLS list behind a byte order mark', () => `\ufeff${hls(secret)}`],
  ['an extended M3U', () => `#EXTM3U\n#EXTINF:2,Song\n${secret}\n`],
  ['a concat list of a file', () => `ffconcat version 1.0\nfile '${secret}'\n`],
  ['a concat list of an address', () => `ffconcat version 1.0\nfile '${url()}'\n`],
  ['a DASH manifest of a file', () => mpd(secret)],
  ['a DASH manifest of an address', () => mpd(url())],
  ['a DASH manifest behind comments', () => `<!-- a -->\n<!---->${mpd(url())}`],
  ['a session description', sdp],
  ['a PLS playlist', () => `[playlist]\nFile1=${url()}\nNumberOfEntries=1\n`],
  ['an ASX playlist', () => `<asx version="3.0"><entry><ref href="${url()}"/></entry></asx>\n`],
  ['a bare address', () => `${url()}\n`],
]

describe.each(['.mp3', '.m3u8', '.wav'])('a playlist named talk%s', (ending) => {
  test.each(BAITS)('%s is refused, and nothing else is opened', async (_, content) => {
    const file = at(`talk${ending}`)
    const out = at(`talk${ending}.out.wav`)
    await writeFile(file, content())
    expect(await errorOf(decode({ file, out }))).toMatchObject({
      code: 'EARSHOT_MEDIA_REFUSED',
      message: expect.stringContaining('points at other files'),
    })
    expect(existsSync(out)).toBe(false)
    expect(asked).toEqual([])
  })
})

// The look at the first bytes only makes the better sentence; this is what holds.
test.each(BAITS)('ffmpeg itself, as we call it, does not follow %s', async (_, content) => {
  const file = at('bait.mp3')
  await writeFile(file, content())
  expect((await errorOf(probeMedia({ file }))).code).toMatch(/^EARSHOT_MEDIA_(REFUSED|UNREADABLE)$/)
  expect(asked).toEqual([])
})

test('the bait is good: the same sound without a playlist around it is decoded', async () => {
  await copyFile(secret, at('plain.mp3'))
  expect(
    (await decode({ file: at('plain.mp3'), out: at('plain.wav') })).duration_s,
  ).toBeGreaterThan(1.5)
})

test('a file of many comments is looked at without backtracking', async () => {
  const file = at('comments.mp3')
  await writeFile(file, `${'<!---->'.repeat(60)}x`)
  const module = JSON.stringify(new URL('../src/audio/formats.ts', import.meta.url).href)
  // In a process of its own: a pattern that backtracks would hold up the test runner for good.
  const look = `const { refusePlaylist } = await import(${module})
    await refusePlaylist(process.argv[1])
    console.log('looked')`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', look, file],
    { timeout: 20_000 },
  )
  expect(stdout).toBe('looked\n')
}, 30_000)
