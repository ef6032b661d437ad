import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { hashFile } from '../src/media/hash.ts'
import { createMediaStore } from '../src/media/store.ts'

const sha = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')

async function folder(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'earshot media '))
  onTestFinished(() => rm(home, { recursive: true, force: true }))
  return home
}

async function* pieces(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text)
}

async function* failing() {
  yield Buffer.from('half')
  throw new Error('the connection broke')
}

async function* endless() {
  for (;;) yield Buffer.alloc(64 * 1024)
}

/** What is in the media folder, leaving out empty folders. */
async function filesIn(home: string): Promise<string[]> {
  const entries = await readdir(join(home, 'media'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

test('a stream that breaks, is too long or is aborted leaves nothing behind', async () => {
  const home = await folder()
  const media = await createMediaStore(home)
  await expect(media.put(failing())).rejects.toThrow('the connection broke')
  await expect(media.put(endless(), { maxBytes: 100_000 })).rejects.toMatchObject({
    code: 'EARSHOT_TOO_LARGE',
  })
  const abort = new AbortController()
  const stopped = media.put(
    (async function* () {
      yield Buffer.from('half')
      abort.abort(new Error('no longer wanted'))
      yield Buffer.from('more')
    })(),
    { signal: abort.signal },
  )
  await expect(stopped).rejects.toThrow('no longer wanted')
  expect(await filesIn(home)).toEqual([])
})

// A disk of one megabyte of its own; needs root or user namespaces.
const DISK = [
  'unshare',
  '-r',
  '-m',
  'sh',
  '-c',
  'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"',
]
const canMount = spawnSync(DISK[0]!, [...DISK.slice(1), tmpdir(), 'true']).status === 0

test.runIf(canMount)('a full disk is said to be full, and nothing is left on it', async () => {
  const home = await folder()
  const script = `
    const { createMediaStore } = await import(${JSON.stringify(join(import.meta.dirname, '../src/media/store.ts'))})
    const media = await createMediaStore(process.argv[1])
    async function* big() { for (let i = 0; i < 32; i++) yield Buffer.alloc(65536, i) }
    const code = await media.put(big()).then(() => 'kept', (error) => error.code)
    const { readdirSync } = await import('node:fs')
    console.log(code, readdirSync(process.argv[1] + '/media').length)`
  const said = execFileSync(
    DISK[0]!,
    [...DISK.slice(1), home, process.execPath, '--input-type=module', '-e', script, home],
    { encoding: 'utf8' },
  )
  expect(said.trim()).toBe('EARSHOT_DISK_FULL 0')
})

test('content is kept whole under its hash, and the same content is not written twice', async () => {
  const home = await folder()
  const media = await createMediaStore(home)
  expect(await media.has(sha('hello'))).toBe(false)
  const first = await media.put(pieces('hel', 'lo'))
  expect(first).toEqual({
    hash: sha('hello'),
    size: 5,
    path: join(home, 'media', sha('hello').slice(0, 2), sha('hello')),
    duplicate: false,
  })
  expect(await readFile(media.path(first.hash), 'utf8')).toBe('hello')
  expect(await media.has(first.hash)).toBe(true)
  const before = await stat(first.path, { bigint: true })
  expect(await media.put(pieces('hello'))).toEqual({ ...first, duplicate: true })
  expect((await stat(first.path, { bigint: true })).ctimeNs).toBe(before.ctimeNs)
  expect(await filesIn(home)).toEqual([first.hash])
  expect(before.mode & 0o777n).toBe(0o600n)
})

test('the same content from many at once is one file', async () => {
  const home = await folder()
  const media = await createMediaStore(home)
  await Promise.all(Array.from({ length: 20 }, () => media.put(pieces('same', ' content'))))
  expect(await filesIn(home)).toEqual([sha('same content')])
})

test('leftovers of ended processes go at start, the files of running ones stay', async () => {
  const home = await folder()
  await mkdir(join(home, 'media'), { recursive: true })
  const ended = spawnSync('true').pid
  for (const pid of [ended, process.pid, process.ppid])
    await writeFile(join(home, 'media', `.partial-${pid}-00ff`), 'half')
  const first = await createMediaStore(home)
  expect(await filesIn(home)).toEqual([`.partial-${process.ppid}-00ff`])
  // A second store in the same process leaves alone what the first is writing.
  const kept = first.put(
    (async function* () {
      yield Buffer.from('one')
      await createMediaStore(home)
      yield Buffer.from('two')
    })(),
  )
  expect((await kept).hash).toBe(sha('onetwo'))
})

test.each([
  '',
  '..',
  '../../etc/passwd',
  `${'a'.repeat(63)}/`,
  'A'.repeat(64),
  `${'a'.repeat(64)}\n`,
])('%j is no hash and leads nowhere', async (name) => {
  const media = await createMediaStore(await folder())
  expect(() => media.path(name)).toThrow(expect.objectContaining({ code: 'EARSHOT_BAD_REQUEST' }))
})

test('a file is hashed in pieces, and that can be broken off', async () => {
  const home = await folder()
  const data = Buffer.alloc(3_000_001, 'abc')
  await writeFile(join(home, 'big'), data)
  await writeFile(join(home, 'empty'), '')
  expect(await hashFile(join(home, 'big'))).toEqual({ hash: sha(data), size: data.length })
  expect(await hashFile(join(home, 'empty'))).toEqual({ hash: sha(''), size: 0 })
  await expect(hashFile(join(home, 'big'), AbortSignal.abort(new Error('stop')))).rejects.toThrow(
    'stop',
  )
  await expect(hashFile(join(home, 'missing'))).rejects.toMatchObject({ code: 'ENOENT' })
})
