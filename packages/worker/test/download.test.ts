import { createHash, randomBytes } from 'node:crypto'
import { readFile, readdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Downloadable } from '../src/models/catalogue.ts'
import { WHISPER_MODELS, findDownloadable } from '../src/models/catalogue.ts'
import { download } from '../src/models/download.ts'
import { tooBig } from '../src/models/memory.ts'
import { type EngineServer, engineServer, thrownBy } from './helpers/engine-server.ts'
import { tempFolder } from './helpers/media.ts'

const content = randomBytes(300_000)
const model: Downloadable = {
  name: 'whisper-test',
  file: 'ggml-test.bin',
  size: content.length,
  sha256: createHash('sha256').update(content).digest('hex'),
}
const { signal } = new AbortController()
let server: EngineServer
let folder: string
let count = 0
const home = await tempFolder()

beforeAll(async () => {
  server = await engineServer()
})
afterAll(() => server[Symbol.asyncDispose]())
beforeEach(() => {
  folder = path.join(home, String((count += 1)))
  server.asked.length = 0
  serve(content)
})
const serve = (body: Buffer, { ranges = true, stopAt = Infinity } = {}) => {
  server.routes['GET /models/ggml-test.bin'] = ({ headers }, response) => {
    const from = ranges ? Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0) : 0
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': body.length - from,
      ...(from > 0 ? { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` } : {}),
    })
    if (stopAt === Infinity) return void response.end(body.subarray(from))
    response.write(body.subarray(from, stopAt))
    void written().then(() => response.destroy())
  }
}
/** What came has reached the disk. */
async function written(): Promise<void> {
  while (
    ((await stat(path.join(folder, 'ggml-test.bin.part')).catch(() => undefined))?.size ?? 0) === 0
  )
    await new Promise((resolve) => setImmediate(resolve))
}
const pull = (more: object = {}) =>
  download(model, { source: `${server.url}/models/`, folder, signal, ...more })

test('a model is loaded, checked, and renamed; a second time nobody is asked', async () => {
  const fractions: number[] = []
  const file = await pull({ onProgress: (fraction: number) => fractions.push(fraction) })
  expect(await readFile(file)).toEqual(content)
  expect(await readdir(folder)).toEqual(['ggml-test.bin'])
  expect(fractions.at(-1)).toBe(1)
  await pull()
  expect(server.asked).toHaveLength(1)
  await pull({
    source: `${server.url}/models/ggml-test.bin`,
    folder: path.join(folder, 'by its own address'),
  })
  expect(server.asked.at(-1)!.path).toBe('/models/ggml-test.bin')
})

test('one that was broken off goes on where it was, and says what to do without a network', async () => {
  serve(content, { stopAt: 100_000 })
  expect(await thrownBy(pull())).toMatchObject({
    code: 'EARSHOT_UNREACHABLE',
    hint: `Run it again to go on. Without a network: fetch ${server.url}/models/ggml-test.bin elsewhere and copy it to ${path.join(folder, 'ggml-test.bin')}`,
  })
  expect(await readdir(folder)).toEqual(['ggml-test.bin.part'])
  serve(content)
  await pull()
  expect(Number(/\d+/.exec(server.asked[1]!.headers.range!)?.[0])).toBeGreaterThan(0)
  expect(await readFile(path.join(folder, 'ggml-test.bin'))).toEqual(content)
})

test('a server that knows nothing of ranges begins anew', async () => {
  serve(content, { stopAt: 100_000 })
  await thrownBy(pull())
  serve(content, { ranges: false })
  expect(await readFile(await pull())).toEqual(content)
})

test.each([
  [
    'another content',
    Buffer.concat([randomBytes(10), content.subarray(10)]),
    'is not ggml-test.bin',
  ],
  ['more than there is', Buffer.concat([content, content]), 'longer than'],
])('%s is not taken, and nothing of it stays', async (_, body, message) => {
  serve(body)
  expect(await thrownBy(pull())).toMatchObject({
    code: 'EARSHOT_ENGINE_FAILED',
    message: expect.stringContaining(message),
  })
  expect(await readdir(folder)).toEqual([])
})

test('a file of that name that is not whole is replaced', async () => {
  await pull()
  await writeFile(path.join(folder, 'ggml-test.bin'), content.subarray(0, 50))
  expect(await readFile(await pull())).toEqual(content)
})

test('nobody there, and no such file, are told with what to copy where', async () => {
  expect(await thrownBy(pull({ source: `${server.url}/elsewhere` }))).toMatchObject({
    code: 'EARSHOT_UNREACHABLE',
    message: expect.stringContaining('404'),
  })
  const gone = await engineServer()
  await gone[Symbol.asyncDispose]()
  expect(await thrownBy(pull({ source: gone.url }))).toMatchObject({
    code: 'EARSHOT_UNREACHABLE',
    message: expect.stringContaining('ECONNREFUSED'),
    hint: expect.stringContaining('copy it to'),
  })
})

test('an abort keeps what came so far', async () => {
  server.routes['GET /models/ggml-test.bin'] = (_, response) =>
    void response
      .writeHead(200, { 'content-length': content.length })
      .write(content.subarray(0, 100_000))
  const abort = new AbortController()
  const reason = new Error('enough')
  await expect(pull({ signal: abort.signal, onProgress: () => abort.abort(reason) })).rejects.toBe(
    reason,
  )
  expect(await readdir(folder)).toEqual(['ggml-test.bin.part'])
})

test('models go by their name, with or without its first part, and each is pinned', () => {
  expect(findDownloadable('base.en')).toBe(findDownloadable('whisper-base.en'))
  expect(findDownloadable('nonsense')).toBeUndefined()
  for (const { sha256, size, file } of WHISPER_MODELS)
    expect({ sha256, file, big: size > 50e6 }).toEqual({
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      file: expect.stringMatching(/^ggml-[\w.-]+\.bin$/),
      big: true,
    })
  expect(new Set(WHISPER_MODELS.map(({ sha256 }) => sha256)).size).toBe(WHISPER_MODELS.length)
})

test('what does not fit into memory is told by how much', () => {
  expect(tooBig(40e9, 21e9)).toBe('It needs about 48 GB of memory; 21 GB are free.')
  expect(tooBig(1e9, 2e9)).toBeUndefined()
  expect(tooBig(null, 0)).toBeUndefined()
})
